"""Parts of the dock widget 'Denoise live'."""
