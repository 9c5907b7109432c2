"""What both engines stand on: images, tiles, noise models."""
