"""Where the frames of a live run come from, and what denoises them."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from magicgui.types import FileDialogMode
from magicgui.widgets import FileEdit
from napari.layers import Image
from qtpy.QtWidgets import QSpinBox

from napari_lowdose.live import RunningMean, SplitViews
from napari_lowdose.live.camera import CameraSource
from napari_lowdose.live.folder import source_for
from napari_lowdose.live.sample_camera import SampleCamera
from napari_lowdose.noise2noise import Noise2NoiseModel
from napari_lowdose.pairs.split_layout import SplitLayout
from napari_lowdose.reucid import Reucid
from napari_lowdose.widgets.fields import (
    ParameterForm,
    PatchSizeField,
    choice,
    parameter_tooltips,
)
from napari_lowdose.widgets.layers import layer_combo, suggested_layer, view_error
from napari_lowdose.widgets.live.layer_source import LayerSource
from napari_lowdose.widgets.menus import opened_widget
from napari_lowdose.widgets.reucid.form import SCAN_NOISE
from napari_lowdose.widgets.run_panel import collapsible
from napari_lowdose.widgets.titles import PAIR, SPLIT

if TYPE_CHECKING:
    import napari.viewer
    from qtpy.QtCore import QObject

    from napari_lowdose.engine import Engine
    from napari_lowdose.live.feed import Source

# Unlike the names of layers, among which they are listed
CAMERA = "camera (Micro-Manager)"
FOLDER = "folder …"
SAMPLE = "sample camera (simulated)"
Method = Literal["reucid", "trained", "file", "mean"]
METHODS: dict[str, Method] = {
    "REUCID": "reucid",
    "network trained on a pair": "trained",
    "network from a file …": "file",
    "running mean": "mean",
}
VIEWS = {
    "one": "one",
    "two, as in Split camera frame": "found",
    "two, layout from a file …": "file",
}
NO_NETWORK = (
    f"There is no network in the widget '{PAIR}' yet: train or load one there, or start "
    "with REUCID and press 'Train on the last frames'."
)
NO_LAYOUT = (
    "There is no layout in the widget 'Split camera frame' yet: choose a frame of the camera there."
)
BUFFER = 32  # frames
MAX_BUFFER = 10_000  # frames
MAX_PAIRS = 100
MAX_COMPONENTS = 999
MEAN = 8  # frames
MAX_MEAN = 1000  # frames


class LiveForm(ParameterForm):
    """Source and method of a live run.

    Parameters
    ----------
    viewer : Viewer
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._others: list[str] = []  # choices besides the layers
        self._suggested: Image | str | None = None
        self._frame_bytes = 0  # not known yet
        self.source_combo = layer_combo(viewer.layers, Image, self._others)
        self.folder = _path_field("d")
        self.method_combo = choice(METHODS)
        self.network_file = _path_field("r", "*.safetensors")
        self.n_mean = _frames_field(MEAN, MAX_MEAN)
        self.add(
            "source",
            self.source_combo.native,
            "<qt>An image layer that something else updates, the camera of Micro-Manager, or a "
            "folder that is being filled. The <i>sample camera</i> is simulated, to try this "
            "out.</qt>",
        )
        self.add("folder", self.folder.native, "The folder, or a growing zarr or TIFF stack.")
        self.add(
            "method",
            self.method_combo,
            "<qt>REUCID needs no training. A network must be trained on images of the same kind: "
            "the same dose, pixel size and offset. A running mean blurs whatever moves.</qt>",
        )
        self.add("network", self.network_file.native, f"A network saved by '{PAIR}'.")
        self.add("frames", self.n_mean, "Number of frames of the running mean.")
        self._add_more()
        self.source_combo.changed.connect(self._show_fields)
        self.method_combo.currentIndexChanged.connect(self._show_fields)
        self.views_combo.currentIndexChanged.connect(self._show_fields)
        self.n_buffer.valueChanged.connect(self._show_memory)
        self.reset_choices()

    def _add_more(self) -> None:
        help_on = parameter_tooltips(Reucid)
        self.patch_size = PatchSizeField()
        self.scan_noise = choice(SCAN_NOISE)
        self.n_components = QSpinBox()
        self.n_components.setRange(1, MAX_COMPONENTS)
        self.n_components.setValue(Reucid().n_components)
        self.n_buffer = _frames_field(BUFFER, MAX_BUFFER)
        self.n_pairs = QSpinBox()
        self.n_pairs.setRange(1, MAX_PAIRS)
        self.n_pairs.setSuffix(" × 2 frames")
        self.views_combo = choice(VIEWS)
        self.layout_file = _path_field("r", "*.json")
        self._more_form = form = ParameterForm()
        form.add("patch size", self.patch_size, help_on["patch_size"])
        form.add("scan noise", self.scan_noise, help_on["scan_noise"])
        form.add("eigenpatches", self.n_components, help_on["n_components"])
        form.add(
            "keep the last",
            self.n_buffer,
            "<qt>Raw frames that are kept in memory, to train on and to look back. A change takes "
            "effect at the next start.</qt>",
        )
        form.add(
            "train on",
            self.n_pairs,
            "<qt>Number of pairs of successive frames. One pair is enough for most scenes; more "
            "pairs take longer, and need a scene that stands still for longer.</qt>",
        )
        form.add(
            "views",
            self.views_combo,
            "<qt>Behind a beamsplitter, a camera frame has two views of the scene. Both are "
            "denoised, and the result is their mean.</qt>",
        )
        form.add("layout", self.layout_file.native, "A layout saved by `SplitLayout.save`.")
        self.more = collapsible("more")
        self.more.addWidget(form)
        self._layout.addRow(self.more)

    @property
    def layer(self) -> Image | None:
        """The chosen layer; None if the source is something else."""
        chosen = self.source_combo.value
        return chosen if isinstance(chosen, Image) else None

    @property
    def source_name(self) -> str:
        """Name of the source, for layers."""
        if self.layer is not None:
            return str(self.layer.name)
        if self.source_combo.value == FOLDER and isinstance(path := self.folder.value, Path):
            return path.name
        return str(self.source_combo.value).partition(" (")[0]

    def reset_choices(self) -> None:
        """Update the choices of sources; suggest one until the user has chosen."""
        before = self.source_combo.value
        self._others[:] = [*([CAMERA] if has_camera() else []), FOLDER, SAMPLE]
        self.source_combo.reset_choices()
        if before == self._suggested or before not in self.source_combo.choices:
            other = CAMERA if CAMERA in self._others else SAMPLE
            self._suggested = suggested_layer(self._viewer.layers) or other
            self.choose(self._suggested)
        self._show_fields()

    def keep_choice(self) -> None:
        """Suggest nothing else, as the user has started with this source."""
        self._suggested = None

    def choose(self, source: Image | str) -> None:
        """Choose a layer, or another source by its label."""
        if source in self.source_combo.choices:
            self.source_combo.value = source

    def source(self, parent: QObject) -> Source:
        """Return the chosen source.

        Raises
        ------
        ValueError, ImportError, OSError
            If there is none; the message says what to do.
        """
        chosen = self.source_combo.value
        if isinstance(chosen, Image):
            if problem := view_error(self._viewer.dims, chosen):
                raise ValueError(problem)
            return LayerSource(self._viewer, chosen, parent)
        if chosen == CAMERA:
            return CameraSource()
        if chosen == FOLDER:
            return source_for(
                _chosen(self.folder, "the folder that is being filled"), existing="newest"
            )
        return SampleCamera()

    def engine(self) -> Engine:
        """Return the chosen engine.

        Raises
        ------
        ValueError, OSError
            If there is no network or no layout; the message says what to do.
        """
        engine = self._engine()
        views = self.views_combo.currentData()
        if views == "one":
            return engine
        if views == "file":
            layout = SplitLayout.load(_chosen(self.layout_file, "the file of the layout"))
        elif (widget := opened_widget(self._viewer, SPLIT)) and widget.found:
            layout = widget.found
        else:
            raise ValueError(NO_LAYOUT)
        return SplitViews(engine, layout)

    def _engine(self) -> Engine:
        method: Method = self.method_combo.currentData()
        if method == "reucid":
            return Reucid(
                patch_size=self.patch_size.value,
                n_components=self.n_components.value(),
                scan_noise=self.scan_noise.currentData(),
            )
        if method == "mean":
            return RunningMean(self.n_mean.value())
        if method == "file":
            return Noise2NoiseModel.load(_chosen(self.network_file, "the file of the network"))
        widget = opened_widget(self._viewer, PAIR)
        if widget is None or widget.model is None:
            raise ValueError(NO_NETWORK)
        model: Noise2NoiseModel = widget.model
        return model

    def show_memory(self, frame_bytes: int) -> None:
        """Tell the memory of the buffer, for frames of this size."""
        self._frame_bytes = frame_bytes
        self._show_memory()

    def _show_memory(self) -> None:
        mib = self.n_buffer.value() * self._frame_bytes / 2**20
        memory = f", {mib:.3g} MiB" if mib >= 1 else ", below 1 MiB" if mib else ""
        if self.n_buffer.suffix() != f" frames{memory}":
            self.n_buffer.setSuffix(f" frames{memory}")

    def _show_fields(self, event: Any = None) -> None:
        method, views = self.method_combo.currentData(), self.views_combo.currentData()
        self.show_field(self.folder.native, self.source_combo.value == FOLDER)
        self.show_field(self.network_file.native, method == "file")
        self.show_field(self.n_mean, method == "mean")
        for field in (self.patch_size, self.scan_noise, self.n_components):
            self._more_form.show_field(field, method == "reucid")
        self._more_form.show_field(self.layout_file.native, views == "file")


def has_camera() -> bool:
    """Whether this process has a Micro-Manager with a camera: something else has loaded it."""
    pymmcore_plus = sys.modules.get("pymmcore_plus")
    with contextlib.suppress(Exception):  # devices are being loaded
        return bool(pymmcore_plus and pymmcore_plus.CMMCorePlus.instance().getCameraDevice())
    return False


def _path_field(mode: Literal["d", "r"], kind: str | None = None) -> FileEdit:
    field = FileEdit(mode=FileDialogMode(mode), filter=kind, nullable=True)
    field.choose_btn.text = "…"
    return field


def _frames_field(value: int, maximum: int) -> QSpinBox:
    box = QSpinBox()
    box.setRange(1, maximum)
    box.setValue(value)
    box.setSuffix(" frames")
    box.setKeyboardTracking(False)
    return box


def _chosen(field: FileEdit, what: str) -> Path:
    path = field.value
    if not isinstance(path, Path):
        raise ValueError(f"Choose {what} first.")
    return path
