"""The dock widgets: the only code that imports napari, Qt and magicgui.

npe2 imports this package when it looks for the manifest in it: that is when the entries of the
right-click menu are registered, which no manifest can contribute.
"""

from napari_lowdose.widgets.right_click import register_when_plugins_are

register_when_plugins_are()
