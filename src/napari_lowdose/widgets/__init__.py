"""The dock widgets: the only code that imports napari, Qt and magicgui.

npe2 imports this package to find the manifest.  At that time the entries of the right-click menu
are registered, because a manifest cannot contribute them.
"""

from napari_lowdose.widgets.right_click import register_after_plugins

register_after_plugins()
