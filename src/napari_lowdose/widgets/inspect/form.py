"""The choice of layers in the widget 'Inspect'."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtCore import Signal  # type: ignore[attr-defined]

from napari_lowdose.widgets.fields import ParameterForm
from napari_lowdose.widgets.inspect.chosen_frames import inputs_of
from napari_lowdose.widgets.layers import layer_combo, suggested_layer
from napari_lowdose.widgets.result_layer import METADATA_KEY, RESIDUAL_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from napari.components import LayerList

NONE = "none"
TRUTH_NAMES = ("truth", "without noise", "noise-free", "reference")


class InspectForm(ParameterForm):
    """Raw image, result, and optionally a second exposure and the truth.

    Layers are compared by ``==``: napari gives plugins wrapped layers, which are not identical to
    those of events.

    Parameters
    ----------
    layers : LayerList
    """

    changed = Signal()
    """Another layer was chosen."""

    def __init__(self, layers: LayerList) -> None:
        super().__init__()
        self._layers = layers
        self.raw = layer_combo(layers)
        self.result = layer_combo(layers)
        self.second = layer_combo(layers, Image, [NONE])
        self.truth = layer_combo(layers, Image, [NONE])
        self.add("raw", self.raw.native, "The image as it was recorded; of a pair, the first one.")
        self.add("result", self.result.native, "The image that was denoised.")
        self.add(
            "2nd exposure",
            self.second.native,
            "<qt>Another exposure of the same scene, for the Fourier ring correlation.</qt>",
        )
        self.add(
            "truth",
            self.truth.native,
            "<qt>A reference without noise, such as a simulation or a long exposure.</qt>",
        )
        self._combos = {
            "raw": self.raw,
            "result": self.result,
            "second": self.second,
            "truth": self.truth,
        }
        for combo in self._combos.values():
            combo.changed.connect(self._chosen)
        self._quiet = False

    def chosen(self) -> dict[str, Image | None]:
        """Return the layers by their role; None if there is none."""
        return {
            name: combo.value if isinstance(combo.value, Image) else None
            for name, combo in self._combos.items()
        }

    def reset_choices(self) -> None:
        """Update the choices of layers."""
        before = self.chosen()
        self._quiet = True
        for combo in self._combos.values():
            combo.reset_choices()
        self._quiet = False
        if self.chosen() != before:
            self.changed.emit()

    def suggest(self) -> None:
        """Choose the newest result and its input, or else the two topmost images."""
        active = self._layers.selection.active
        results = [each for each in self._layers if self._is_recorded(each)]
        images = [each for each in self._layers if isinstance(each, Image)]
        if active in results:
            self.choose(active)
        elif results:
            self.choose(results[-1])
        elif len(images) > 1:
            self._choose_all(suggested_layer(self._layers), images[-1], None)

    def choose(self, result: Image) -> None:
        """Choose a result, or that of a residual, and the layers that it was made from."""
        of = result.metadata.get(RESIDUAL_KEY)
        result = next((each for each in self._layers if each.name == of), result)
        inputs = inputs_of(result, self._layers)
        raw = inputs[0] if inputs else self.chosen()["raw"]
        self._choose_all(raw, result, inputs[1] if len(inputs) > 1 else None)

    def choose_pair(self, lower: Image, upper: Image) -> None:
        """Choose two layers: the one with a record, or else the upper one, is the result."""
        if self._is_recorded(lower) and not self._is_recorded(upper):
            lower, upper = upper, lower
        self._choose_all(lower, upper, None)

    def _choose_all(self, raw: Image | None, result: Image, second: Image | None) -> None:
        if raw == result:
            raw = next((e for e in self._layers if isinstance(e, Image) and e != result), result)
        truth = next(
            (
                each
                for each in self._layers
                if isinstance(each, Image)
                and any(name in each.name.lower() for name in TRUTH_NAMES)
                and raw is not None
                and each.data.shape[-2:] == raw.data.shape[-2:]
                and each not in (raw, result)
            ),
            None,
        )
        self._set({"raw": raw, "result": result, "second": second, "truth": truth})

    def replace(self, layers: Iterable[Image]) -> None:
        """Choose others for the layers that are chosen, in their order."""
        roles = [name for name, layer in self.chosen().items() if layer is not None]
        self._set(dict(zip(roles, layers, strict=True)))

    def _set(self, layers: Mapping[str, Image | None]) -> None:
        self._quiet = True
        for name, layer in layers.items():
            if layer is not None:
                self._combos[name].value = layer
            elif name in ("second", "truth"):
                self._combos[name].value = NONE
        self._quiet = False
        self.changed.emit()

    @staticmethod
    def _is_recorded(layer: Any) -> bool:
        return isinstance(layer, Image) and METADATA_KEY in layer.metadata

    def _chosen(self, event: Any = None) -> None:
        if not self._quiet:
            self.changed.emit()
