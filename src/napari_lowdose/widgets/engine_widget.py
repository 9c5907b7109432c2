"""A dock widget for any engine, with a form generated from its parameters."""

from __future__ import annotations

import dataclasses
import math
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from magicgui.widgets import create_widget

from napari_lowdose.widgets.dock_area import RunDock
from napari_lowdose.widgets.fields import (
    AutomaticSpinBox,
    ParameterForm,
    frames_choice,
    parameter_tooltips,
)
from napari_lowdose.widgets.filled_layer import FillIn
from napari_lowdose.widgets.layer_run import LayerRun
from napari_lowdose.widgets.layers import (
    already_denoised_warning,
    frame_in_view,
    layer_combo,
    suggested_pair,
    validation_error,
    view_error,
)
from napari_lowdose.widgets.run_panel import RunPanel

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari.viewer
    from napari.layers import Image
    from qtpy.QtWidgets import QWidget

    from napari_lowdose.engine import Engine

LARGEST_INTEGER = 2**31 - 1  # of a Qt spin box
LARGEST_FLOAT = 1e9


class EngineWidget(RunDock):
    """Run an engine on image layers; fields of plain types become the fields of a form.

    Supported are bool, int, float, str, Literal, and int or float with None for automatic.
    Parameters of other types keep their defaults.  Parameters without a default are required to
    be of one of these types.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
    engine_class : type
        A frozen dataclass of parameters.  Its numpydoc docstring provides the tooltips.

    Examples
    --------
    A plugin can offer its own engine (`Median` here) with a subclass:

    >>> class MedianWidget(EngineWidget):
    ...     def __init__(self, napari_viewer: "napari.viewer.Viewer") -> None:
    ...         super().__init__(napari_viewer, Median)
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer, engine_class: type[Engine]) -> None:
        super().__init__(napari_viewer)
        self.engine_class = engine_class
        self.title = engine_class.title or engine_class.__name__
        pair = engine_class.takes == "pair"
        self.form = ParameterForm()
        self.layer_combos = [layer_combo(napari_viewer.layers) for _ in range(1 + pair)]
        for label, combo in zip(
            ["first", "second"] if pair else ["image"], self.layer_combos, strict=False
        ):
            self.form.add(label, combo.native, "The image layer to denoise.")
            combo.changed.connect(self._enable)
        self.frames = frames_choice()
        self.form.add("frames", self.frames, "Denoise the frame in view, or all frames.")
        tooltips = parameter_tooltips(engine_class)
        # magicgui could build the form, but has no field for None as "automatic".
        self._values: dict[str, Callable[[], Any]] = {}
        for name, (field, value) in parameter_fields(engine_class).items():
            self.form.add(name.replace("_", " "), field, tooltips.get(name, ""))
            self._values[name] = value
        self.panel = RunPanel()
        self.panel.start_button.clicked.connect(self.denoise)
        self.panel.stop_button.clicked.connect(self.stop)
        self.fill_in = FillIn(
            self.viewer.layers, self.runner, self.panel.remedy_button, self._refuse_second_run
        )
        self.parts.addWidget(self.form)
        self.parts.addWidget(self.panel)
        self.parts.addStretch()
        self.listen((self.viewer.layers.events.removed, self._layer_removed))
        self.reset_choices()
        if pair:
            for combo, layer in zip(
                self.layer_combos, suggested_pair(napari_viewer.layers), strict=False
            ):
                combo.value = layer

    @property
    def layers(self) -> list[Image | None]:
        """The chosen layer, or the two of a pair."""
        return [combo.value for combo in self.layer_combos]

    def reset_choices(self, event: Any = None) -> None:
        """Update the choices of image layers; napari calls this when layers change."""
        for combo in self.layer_combos:
            combo.reset_choices()
        self._enable()

    def engine(self) -> Any:
        """Return the engine with the parameters of the form.

        Raises
        ------
        ValueError
            If the engine refuses them.
        """
        return self.engine_class(**{name: value() for name, value in self._values.items()})

    def denoise(self) -> None:
        """Start a run on the chosen layers."""
        if self._refuse_second_run():
            return
        layers = [layer for layer in self.layers if layer is not None]
        all_frames = bool(self.frames.currentData())
        reason = next(filter(None, map(validation_error, self.layers)), "")
        if reason := reason or view_error(self.viewer.dims, layers[0], all_frames):
            self.panel.show_refusal(reason)
            return
        frame = () if all_frames else frame_in_view(self.viewer.dims, layers[0])
        source: Any = tuple(layers) if len(layers) > 1 else layers[0]
        name = f"{layers[0].name}{f' {list(frame)}' if frame else ''} {self.title}"
        try:
            run = LayerRun(self.viewer.layers, source, self.engine(), frame, name=name)
        except ValueError as error:
            self.panel.show_refusal(str(error))
            return
        self._announce_run(map(already_denoised_warning, layers))
        self._start_run(run)

    def _use_filled(self, layers: list[Image]) -> None:
        for combo, layer in zip(self.layer_combos, layers, strict=True):
            combo.value = layer

    def _enable(self, event: Any = None) -> None:
        layers = self.layers
        self.panel.set_running(self._running is not None, not any(map(validation_error, layers)))
        self.form.show_field(self.frames, layers[0] is not None and layers[0].ndim > 2)


def parameter_fields(engine_class: Any) -> dict[str, tuple[QWidget, Callable[[], Any]]]:
    """Return a form field for each parameter of a plain type, and the function that reads it."""
    hints = get_type_hints(engine_class)
    fields = {}
    for parameter in dataclasses.fields(engine_class):
        default = None if parameter.default is dataclasses.MISSING else parameter.default
        # Other types keep their defaults: magicgui would show an empty field for them.
        if parameter.init and (made := _field(hints[parameter.name], default)) is not None:
            fields[parameter.name] = made
    return fields


def _field(hint: Any, default: Any) -> tuple[QWidget, Callable[[], Any]] | None:
    # int | None or float | None: 0 on the spin box reads "automatic".
    number = next((kind for kind in (int, float) if set(get_args(hint)) == {kind, NoneType}), None)
    if number is not None:
        box = AutomaticSpinBox(maximum=LARGEST_FLOAT, decimals=0 if number is int else 4)
        box.setValue(default or 0)
        return box, lambda: None if (value := box.number()) is None else number(value)
    options: dict[str, Any] = {}
    if hint is int:
        options = {"min": -LARGEST_INTEGER, "max": LARGEST_INTEGER}
    elif hint is float:
        # A tenth of the order of magnitude: steps of 0.01 would be too coarse for 1e-4.
        step = 10.0 ** (math.floor(math.log10(abs(default))) - 1) if default else 0.01
        options = {"min": -LARGEST_FLOAT, "max": LARGEST_FLOAT, "step": step}
    elif hint not in (bool, str) and get_origin(hint) is not Literal:
        return None
    value = {} if default is None else {"value": default}
    widget: Any = create_widget(annotation=hint, options=options, **value)
    # The lambda also keeps the magicgui widget alive, which the Qt widget alone does not.
    return widget.native, lambda: widget.value
