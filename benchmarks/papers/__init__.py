"""The experiments of the two papers, one script per figure or table; see docs/experiments.md."""
