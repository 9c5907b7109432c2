"""Other denoisers, for comparison; CAREamics and tk_r_em run in environments of their own."""
