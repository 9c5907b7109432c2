"""Parts of the dock widget 'Denoise a pair (Noise2Noise)'."""
