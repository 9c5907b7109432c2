"""Parts of the dock widget 'Batch'."""
