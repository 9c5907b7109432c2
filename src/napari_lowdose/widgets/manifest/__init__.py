"""Location of the manifest.

npe2 reads manifests from packages only, so this is one; finding it imports
`napari_lowdose.widgets`, which registers the right-click menu.
"""
