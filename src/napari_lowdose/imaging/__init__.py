"""Image frames: checks, outliers and the area that holds image."""
