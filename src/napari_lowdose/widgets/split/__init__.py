"""Parts of the widget 'Split camera frame'."""
