"""Parts of the dock widget 'Live'."""
