"""Parts of the dock widget 'Denoise one image (REUCID)'."""
