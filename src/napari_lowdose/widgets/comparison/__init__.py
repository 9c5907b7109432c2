"""Two sets of settings side by side, on a part of the image."""
