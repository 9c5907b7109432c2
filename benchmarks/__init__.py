"""Scripts that measure the numbers in the documentation; each prints its table."""
