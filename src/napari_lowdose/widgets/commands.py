"""Commands for other plugins and macros: image in, denoised image out.

>>> from npe2 import PluginManager
>>> def denoised(image):
...     run = PluginManager.instance().commands.execute
...     return run("napari-lowdose.denoise_by_reucid", args=(image,))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.types import ImageData  # noqa: TC002  (napari reads the annotations)

if TYPE_CHECKING:
    from pathlib import Path


def denoise_by_reucid(image: ImageData | None = None, **parameters: Any) -> ImageData:
    """Denoise an image or a stack of frames with REUCID.

    Parameters
    ----------
    image : (..., Y, X) array, optional
        From the command palette, which gives none, the selected layer is denoised in the widget.
    **parameters
        Those of `Reucid`.

    Returns
    -------
    (..., Y, X) float32 array
        None if no image is given.
    """
    from napari_lowdose.denoise import denoise
    from napari_lowdose.reucid import Reucid

    if image is None:
        return _in_the_widget()
    result: ImageData = denoise(image, Reucid(**parameters))
    return result


def denoise_by_network(
    image: ImageData | None = None, network: str | Path | None = None
) -> ImageData:
    """Denoise an image or a stack of frames with a trained network.

    Parameters
    ----------
    image : (..., Y, X) array, optional
    network : path
        File that `Noise2NoiseModel.save` or the pair widget has written.

    Returns
    -------
    (..., Y, X) float32 array
        None if no image or network is given.
    """
    from napari.utils.notifications import show_info

    from napari_lowdose.denoise import denoise
    from napari_lowdose.noise2noise import Noise2NoiseModel
    from napari_lowdose.thinning import network_engine

    if image is None or network is None:
        show_info("Load a network in the pair widget, and press Apply there.")
        return None
    result: ImageData = denoise(image, network_engine(Noise2NoiseModel.load(network)))
    return result


def _in_the_widget() -> Any:
    import napari

    from napari_lowdose.widgets import menus

    viewer = napari.current_viewer()
    if viewer is not None:
        menus.denoise(viewer)
