"""The experiments of the two papers, a figure or table a script; see docs/experiments.md."""
