"""What every engine stands on: what an image must be, and files in and out."""
