"""Entries of the right-click menu of layers.

napari accepts contributions to its Layers menu from the manifest, but silently drops those to the
right-click menu.  Therefore they are registered at run time.  This module is imported at every
start of napari, so it imports very little.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Any

PLUGIN = "napari-lowdose"
MENU = "napari/layers/context"

# As in the manifest, for Layers > Filter
IMAGES = "all_selected_layers_image and "
GREY = "not active_layer_is_rgb and active_layer_dtype != 'bool'"
ONE = f"{IMAGES}num_selected_layers == 1 and {GREY}"
PAIR_OR_ONE = f"{IMAGES}num_selected_layers <= 2 and all_selected_layers_same_shape and {GREY}"
ENTRIES = {
    "denoise": ("Denoise (napari-lowdose)", PAIR_OR_ONE),
    "denoise_live": ("Denoise live (napari-lowdose)", ONE),
    "split_camera_frame": ("Split camera frame (napari-lowdose)", ONE),
    "inspect_result": ("Inspect (napari-lowdose)", PAIR_OR_ONE),
    "show_evidence": ("Show evidence (napari-lowdose)", PAIR_OR_ONE),
    "show_standard_error": ("Show standard error (napari-lowdose)", PAIR_OR_ONE),
}


def register_after_plugins() -> None:
    """Register the entries once npe2 has registered this plugin; remove them with it."""
    try:
        import npe2
    except ImportError:  # outside of napari
        return
    events = npe2.PluginManager.instance().events
    events.plugins_registered.connect(_plugins_registered)
    events.enablement_changed.connect(_enablement_changed)


def register_entries(app: Any = None) -> None:
    """Register the entries with `app`, by default that of the running napari.

    Registering twice has no effect.  If napari's private module for its app is missing, nothing
    happens: Layers > Filter has the same entries.
    """
    try:
        from app_model.expressions import parse_expression
        from app_model.types import Action, MenuRule

        if app is None:
            from napari._app_model import get_app_model

            app = get_app_model()
        _dispose(app)
        _disposers[id(app)] = [
            app.register_action(
                Action(
                    id=f"{PLUGIN}.right_click.{name}",
                    title=title,
                    callback=f"napari_lowdose.widgets.menus:{name}",
                    menus=[MenuRule(id=MENU, group="navigation")],
                    enablement=parse_expression(enablement),
                )
            )
            for name, (title, enablement) in ENTRIES.items()
        ]
    except (ImportError, AttributeError):
        return


_disposers: dict[int, list[Any]] = {}


def _dispose(app: Any) -> None:
    for dispose in _disposers.pop(id(app), []):
        with contextlib.suppress(Exception):  # the app is gone
            dispose()


def _plugins_registered(manifests: Any) -> None:
    if "napari" in sys.modules and any(each.name == PLUGIN for each in manifests):
        register_entries()


def _enablement_changed(enabled: Any, disabled: Any) -> None:
    if PLUGIN in enabled:
        register_entries()
    elif PLUGIN in disabled:
        with contextlib.suppress(ImportError):
            from napari._app_model import get_app_model

            _dispose(get_app_model())
