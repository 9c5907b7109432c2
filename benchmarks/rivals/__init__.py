"""Other denoisers, to measure beside ours; the first two run in environments of their own."""
