"""Parts of the dock widget 'Split camera frame'."""
