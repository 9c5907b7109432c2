"""Parts of the dock widget 'REUCID'."""
