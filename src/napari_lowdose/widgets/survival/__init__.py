"""Plant a defect into an image by a click, and measure how much of it survives denoising."""
