"""Frames of images: checks, outliers and the image area."""
