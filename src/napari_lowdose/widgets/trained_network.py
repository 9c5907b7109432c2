"""A trained network: its origin and file, and the panel that saves, loads and applies it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Image
from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QHBoxLayout,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_lowdose.engine import Step
from napari_lowdose.error_line import error_line
from napari_lowdose.noise2noise import Noise2NoiseModel
from napari_lowdose.noise2noise.evaluation.told_gain import ToldGain
from napari_lowdose.noise2noise.training_step import training_length
from napari_lowdose.thinning import THINNED, Thinned, ThinnedNetwork, network_engine
from napari_lowdose.widgets.fields import ParameterForm, choice
from napari_lowdose.widgets.layers import layer_combo
from napari_lowdose.widgets.run_panel import text_label

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_RELATIVE_TOLERANCE = 1e-3  # relative tolerance of exposure statistics: covers rounding
# Not a field of the model, which is frozen and independent of files.
_files: WeakKeyDictionary[Noise2NoiseModel, str] = WeakKeyDictionary()


def set_network_file(model: Noise2NoiseModel, path: str) -> None:
    """Remember `path` as the file of `model`, in place of the network saved there before."""
    for other in [each for each, file in _files.items() if file == path]:
        del _files[other]
    _files[model] = path


def network_file(model: object) -> str | None:
    """Return the file of `model`; None if it was never saved or was deleted.

    Parameters
    ----------
    model : Noise2NoiseModel
        Other engines have no file.
    """
    path = _files.get(model) if isinstance(model, Noise2NoiseModel) else None
    return path if path is not None and Path(path).is_file() else None


class Training(Protocol):
    """A run that trains a network on two layers (`PairRun`)."""

    def was_trained_on(self, sources: Sequence[Image | None], engine: Any = None) -> bool:
        """Whether the layers were given to this run, with unchanged data."""
        ...


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """The network that Save, Continue and Apply use.

    Attributes
    ----------
    model : Noise2NoiseModel
    name : str
        Name of the training scene, or of the file.
    path : str or None
        Its file, if it has one.
    run : Training or None
        The training run; None if the network was loaded.
    """

    model: Noise2NoiseModel
    name: str
    path: str | None = None
    run: Training | None = None

    def __post_init__(self) -> None:
        if self.path is not None:
            set_network_file(self.model, self.path)

    @property
    def description(self) -> str:
        """A short description."""
        epochs = self.model.record.get("epochs")
        if epochs is None:
            return self.name
        return f"{self.name}, {training_length(epochs, self.model.record.get('n_steps', 0))}"

    @property
    def file_name(self) -> str:
        """Suggested file name."""
        safe = "".join(c if c.isalnum() or c in " -_" else "_" for c in self.name).strip()
        return f"{safe or 'network'}.safetensors"

    @property
    def gain(self) -> ToldGain | None:
        """The gain measured during training; None if it is not known."""
        return ToldGain.of_record(self.model.record)

    @property
    def thinned(self) -> bool:
        """Whether it was trained on the halves of counted images."""
        return bool(self.model.record.get(THINNED))

    def was_trained_on(
        self, sources: Sequence[Image | None], engine: Any, exposures: Mapping[str, float]
    ) -> bool:
        """Whether the network was trained on these layers.

        Parameters
        ----------
        sources : sequence of Image or None
            The two layers of a pair, or the only one.
        engine : Noise2Noise or PairSource
            What would be trained.
        exposures : mapping from str to float
            Statistics of the first exposure from `about_exposures`; a network from a file
            identifies its pair by them.
        """
        if self.run is not None:
            return self.run.was_trained_on(sources, engine)
        if self.thinned != isinstance(engine, Thinned):
            return False
        known = self.model.record.get("exposures", {})
        return bool(known) and all(
            name in exposures
            and math.isclose(exposures[name], value, rel_tol=_RELATIVE_TOLERANCE, abs_tol=1e-30)
            for name, value in known.items()
        )


Extent = Literal["current", "all", "lazy", "zarr"]

FILES = "Network (*.safetensors)"
PAIR_TARGET = "what is above"  # longer ones are cut off in a narrow dock
EXTENTS: dict[str, Extent] = {
    "current frame": "current",
    "all frames, now": "all",
    "all frames, each as it is shown": "lazy",
    "all frames, into a zarr folder …": "zarr",
}


class NetworkPanel(QWidget):
    """Save, load and apply a network.

    Parameters
    ----------
    layers : iterable of Layer
        Source of the image layers; read again at every `reset_choices`.

    Attributes
    ----------
    network : TrainedNetwork or None
    """

    loaded = Signal()
    """A network was loaded."""
    succeeded = Signal(str)
    """A message about a completed action."""
    failed = Signal(str)
    """A message about a failed action."""

    def __init__(self, layers: Iterable[Any]) -> None:
        super().__init__()
        self.network: TrainedNetwork | None = None
        self.description = text_label()
        self.description.setText("Network: none. Train one, or load one.")
        self.save_button = QPushButton("Save …")
        self.save_button.setToolTip("Save the network to a file (.safetensors).")
        self.load_button = QPushButton("Load …")
        self.load_button.setToolTip("Load a network from a file.")
        self.apply_button = QPushButton("Apply")
        self.apply_button.setToolTip("Denoise the chosen layer with the network, without training.")
        self.target = layer_combo(layers, Image, [PAIR_TARGET])
        self.extent = choice(EXTENTS)
        self.form = ParameterForm()
        self.form.add(
            "apply to",
            self.target.native,
            "<qt>The layers above, or another image or movie of the same kind: the same dose, "
            "pixel size and offset. A single layer has one exposure per frame.</qt>",
        )
        self.form.add(
            "frames",
            self.extent,
            "<qt>For a movie larger than memory, denoise each frame when it is shown, or write all "
            "frames to a folder on disk. Writing can be stopped and resumed.</qt>",
        )
        self.for_right_click = QCheckBox("use for right-click > Denoise")
        self.for_right_click.setToolTip(
            "<qt>A right-click on one layer applies this network where it fits: the same pixel "
            "size, dose and offset. Otherwise it denoises by REUCID.</qt>"
        )
        buttons = QHBoxLayout()
        for button in (self.load_button, self.save_button, self.apply_button):
            buttons.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.description)
        layout.addWidget(self.form)
        layout.addLayout(buttons)
        layout.addWidget(self.for_right_click)
        self.save_button.clicked.connect(self.save)
        self.load_button.clicked.connect(self.load)

    def keep(self, network: TrainedNetwork) -> None:
        """Make `network` the current one."""
        before = self.network
        if before is None or before.run is None or before.run is not network.run:
            self.for_right_click.setChecked(False)  # it was ticked for another network
        self.network = network
        self.description.setText(f"Network: {network.description}.")

    def save(self) -> None:
        """Ask for a file, and save the network."""
        if self.network is None:
            return
        path, _ = QFileDialog.getSaveFileName(self, "Save network", self.network.file_name, FILES)
        if not path:
            return
        if not Path(path).suffix:
            path += ".safetensors"
        try:
            self.network.model.save(path)
        except (OSError, ValueError) as error:
            self.failed.emit(f"not saved: {error_line(error)}")
        else:
            self.network = replace(self.network, path=path)
            self.succeeded.emit(f"The network was saved as {Path(path).name}.")

    def load(self) -> None:
        """Ask for a file, and load its network."""
        path, _ = QFileDialog.getOpenFileName(self, "Load network", "", FILES)
        if not path:
            return
        try:
            model = Noise2NoiseModel.load(path)
        except (OSError, ValueError) as error:
            self.failed.emit(f"not loaded: {error_line(error)}")
        else:
            self.keep(TrainedNetwork(model, Path(path).name, path))
            self.loaded.emit()

    @property
    def target_layer(self) -> Image | None:
        """The layer to denoise; None for the pair."""
        return self.target.value if isinstance(self.target.value, Image) else None

    def set_buttons(self, running: bool) -> None:
        """Enable the buttons that can be pressed."""
        self.load_button.setEnabled(not running)
        self.save_button.setEnabled(self.network is not None)
        self.for_right_click.setEnabled(self.network is not None)
        self.apply_button.setEnabled(self.network is not None and not running)


_MAX_CONTRAST_RATIO = 3.0  # largest ratio of standard deviations, image to training or the reverse


@dataclass(frozen=True, kw_only=True)
class NetworkFitStep(Step):
    """Comparison of a frame with the exposures that a network was trained on.

    Attributes
    ----------
    mismatch : str
        The first difference; empty if the network fits.
    """

    mismatch: str


def network_fit_steps(
    model: Noise2NoiseModel, image: Any, pixel_size_note: str
) -> Iterator[NetworkFitStep]:
    """Check whether `model` fits `image`; one frame is read.

    Parameters
    ----------
    model : Noise2NoiseModel
    image : (..., Y, X) array
    pixel_size_note : str
        Warning about the pixel size; empty if there is none.
    """
    from napari_lowdose.noise2noise.exposure_statistics import about_exposures, unlike

    # One frame is enough to recognise another dose, and quick to read.
    frame = np.asarray(image[(0,) * (image.ndim - 2)])
    try:
        network = network_engine(model)
        if isinstance(network, ThinnedNetwork):
            frame = network.halves(frame)[0]
    except ValueError as error:
        yield NetworkFitStep(fraction=1, message="network compared", mismatch=str(error))
        return
    known = model.record.get("exposures", {})
    mismatches = [pixel_size_note, *(sentence for _, sentence in unlike(known, frame))]
    if not known:
        mismatches.append("the network has no record of the exposures that it was trained on.")
    elif known["std"]:
        ratio = about_exposures(frame)["std"] / known["std"]
        if not 1 / _MAX_CONTRAST_RATIO < ratio < _MAX_CONTRAST_RATIO:
            mismatches.append(
                f"this image has {ratio:.2g} times the contrast of the exposures that the network "
                "was trained on."
            )
    mismatch = next(filter(None, mismatches), "")
    yield NetworkFitStep(fraction=1, message="network compared", mismatch=mismatch)
