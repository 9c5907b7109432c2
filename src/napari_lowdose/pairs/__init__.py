"""Pairs of noisy images: simulate, split and register them."""
