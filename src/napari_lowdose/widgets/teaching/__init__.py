"""Parts of the widget 'Teach REUCID'."""
