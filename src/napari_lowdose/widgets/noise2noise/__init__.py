"""Parts of the dock widget 'Noise2Noise pair'."""
