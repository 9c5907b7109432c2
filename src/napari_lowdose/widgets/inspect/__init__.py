"""Parts of the dock widget 'Inspect'."""
