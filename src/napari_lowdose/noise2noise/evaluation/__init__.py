"""Evaluation of a network on held-out tiles, without a clean image."""
