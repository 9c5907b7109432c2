"""The dock widget 'Split camera frame'."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton

from napari_lowdose.error_line import error_line
from napari_lowdose.pairs.split_layout import SplitLayout
from napari_lowdose.widgets.dock_area import DockArea, debounced
from napari_lowdose.widgets.layers import (
    add_pair,
    frame_in_view,
    suggested_layer,
    validation_error,
)
from napari_lowdose.widgets.menus import open_widget
from napari_lowdose.widgets.result_layer import is_result, layer_pixels, placement
from napari_lowdose.widgets.run_panel import text_label
from napari_lowdose.widgets.split.drawn_layout import layout_as_drawn
from napari_lowdose.widgets.split.form import SplitForm
from napari_lowdose.widgets.split.layout_in_words import describe_layout
from napari_lowdose.widgets.split.overlay import SplitOverlay
from napari_lowdose.widgets.split.steps import SplitStep, split_steps
from napari_lowdose.widgets.titles import PAIR
from napari_lowdose.widgets.words import as_sentence

if TYPE_CHECKING:
    import napari.viewer

    from napari_lowdose.widgets.jobs import Job


FRAME_EXPLANATION = (
    "A camera frame or movie with two views of the same scene behind a beamsplitter, side by side "
    "or one above the other."
)
FILES = "calibration of a beamsplitter (*.json)"


AS_DRAWN = (
    "Split as drawn. The shift between the views was not measured: the widget of pairs checks it, "
    "and its button Register removes it."
)


class SplitWidget(DockArea):
    """Find the two views in a camera frame and make a pair of layers.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        Injected by napari.

    Attributes
    ----------
    found : SplitLayout or None
        The layout of the chosen frame.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self.found: SplitLayout | None = None
        self._layer: Image | None = None
        self._due = False
        self._notes: list[str] = []
        self.runner.finished.connect(self._measure)
        self._measure_later = debounced(self, self._measure)
        self._build()
        self.listen(
            (self.viewer.layers.selection.events.active, self._active_changed),
            (self.viewer.dims.events.current_step, self._frame_changed),
        )
        self.reset_choices()
        self._changed()

    def reset_choices(self, event: Any = None) -> None:
        """Update the choices of layers; napari calls this when layers change."""
        gone = self._layer is None or self._layer not in self.viewer.layers
        self.form.layer_combo.reset_choices()
        self.form.shapes_combo.reset_choices()
        if gone and (layer := suggested_layer(self.viewer.layers)) is not None:
            self.form.layer_combo.value = layer
        self._layer_chosen()

    def choose(self, layer: Image) -> None:
        """Choose `layer` as the camera frame."""
        self.form.layer_combo.value = layer

    def split(self) -> None:
        """Make a layer of each view, and choose them in the widget of pairs."""
        layer, layout = self._layer, self.found
        if layer is None or layout is None:
            return
        first, second = self._add_views(layer, layout)
        open_widget(self.viewer, PAIR).choose_pair(first, second)

    def draw(self) -> None:
        """Add a Shapes layer with two rectangles to move."""
        layer = self._layer
        if layer is None:
            return
        height, width = layer_pixels(layer).shape[-2:]
        edge = width // 40 + 1
        boxes = [
            [[edge, left + edge], [height - edge, left + width // 2 - edge]]
            for left in (0, width // 2)
        ]
        if self.found is not None:
            boxes = [[[y0, x0], [y1, x1]] for y0, y1, x0, x1 in self.found.views]
        place = placement(layer, 2)
        place.pop("colormap")  # Shapes layers have none
        self.form.layout_combo.setCurrentIndex(self.form.layout_combo.count() - 1)
        shapes = self.viewer.add_shapes(
            boxes, shape_type="rectangle", name="views", face_color="transparent",
            edge_color=["magenta", "lime"], edge_width=max(1, width // 200), **place,
        )  # fmt: skip
        shapes.mode = "select"
        self.form.shapes_combo.value = shapes
        self._shapes_chosen()

    def save_calibration(self) -> None:
        """Ask for a file, and save the layout."""
        if self.found is None:
            return
        path, _ = QFileDialog.getSaveFileName(self, "Save calibration", "splitter.json", FILES)
        if not path:
            return
        path = path if Path(path).suffix else f"{path}.json"
        try:
            self.found.save(path)
        except OSError as error:
            self._show_text(f"not saved: {error_line(error)}")
        else:
            self.form.use_calibration(self.found, Path(path).name)

    def load_calibration(self) -> None:
        """Ask for the file of a layout, and use it for the chosen frame."""
        path, _ = QFileDialog.getOpenFileName(self, "Load calibration", "", FILES)
        if not path:
            return
        try:
            layout = SplitLayout.load(path)
        except (OSError, ValueError) as error:
            self._show_text(f"not loaded: {error_line(error)}")
        else:
            self.form.use_calibration(layout, Path(path).name)

    # ------------------------------------------------------------- the layout

    def _measure(self) -> None:
        """Find the layout, after any running job."""
        layer = self._layer
        if not self._due or self.runner.busy or layer is None or validation_error(layer):
            return
        self._due = False
        self.as_drawn_button.hide()
        try:
            views = self.form.views()
        except ValueError as error:
            self._show_text(str(error))
            return
        self._start(layer, views)

    def _start(self, layer: Image, views: Any, checked: bool = False) -> None:
        frame = frame_in_view(self.viewer.dims, layer)
        mirrored = self.form.mirrored.currentData()
        if not checked:
            self._notes = []
        self.runner.run(
            split_steps(layer_pixels(layer), views, mirrored, frame, checked=checked),
            functools.partial(self._measured, layer),
            functools.partial(self._ended, layer),
            self._notes.append,
        )

    def _measured(self, layer: Image, steps: list[SplitStep]) -> None:
        if layer is self._layer and not self._due:
            self.found = steps[-1].layout
            self.overlay.show_views(steps[-1].views)

    def _ended(self, layer: Image, job: Job) -> None:
        if self._due or layer is not self._layer:
            return
        if job.outcome == "failed":
            self._show_text(str(job.error))
            self.as_drawn_button.setVisible(self.form.drawn)
        elif self.found is not None:
            # What to do about a rotation is told to scripts; here, it is done
            notes = [note for note in self._notes if "layout.affine" not in note]
            text = [describe_layout(self.found, layer), *map(as_sentence, notes)]
            self._show_text("\n".join(text))
        self._enable()

    def split_as_drawn(self) -> None:
        """Split at the drawn rectangles although the measurement refused them."""
        layer = self._layer
        if layer is None or self.runner.busy:
            return
        mirrored = self.form.mirrored.currentData()
        pixels = layer_pixels(layer)
        shape = int(pixels.shape[-2]), int(pixels.shape[-1])
        try:
            self.found = layout_as_drawn(
                self.form.views(), mirrored if mirrored in ("x", "y") else None, shape
            )
        except ValueError as error:
            self._show_text(str(error))
            return
        self.split()
        self._show_text(AS_DRAWN)
        self.found = None  # not measured: no layout to save or to use live
        self._enable()

    def _show_text(self, text: str) -> None:
        self.findings.setText(as_sentence(text))
        self._enable()

    # -------------------------------------------------------------- the layers

    def _add_views(self, layer: Image, layout: SplitLayout) -> tuple[Image, Image]:
        """Add a layer of each view, both aligned with the first view."""
        views = layout.split(layer_pixels(layer))
        y0, _, x0, _ = layout.regions[0]
        dy, dx = layout.fraction
        corners = ((float(y0), float(x0)), (y0 - dy, x0 - dx))
        low, high = layer.contrast_limits
        limits = (
            (low, high),
            (layout.gain * low + layout.offset, layout.gain * high + layout.offset),
        )
        # The second view is brighter or darker: its limits are scaled alike, so both look the same.
        made = add_pair(
            self.viewer.layers,
            layer,
            [
                (view, f"{layer.name}, {name} view", corner, {"contrast_limits": limit})
                for name, view, corner, limit in zip(
                    ("first", "second"), views, corners, limits, strict=True
                )
            ],
            layout.fraction,
            layout.affine,
        )
        layer.visible = False  # it would show around the views
        return made

    def _active_changed(self, event: Any = None) -> None:
        active = self.viewer.layers.selection.active
        offered = isinstance(active, Image) and active in self.form.layer_combo.choices
        if offered and not is_result(active) and not active.name.endswith(" view"):
            self.form.layer_combo.value = active

    def _layer_chosen(self, event: Any = None) -> None:
        if self.form.layer is not self._layer:
            self._layer = self.form.layer
            self._changed()
        self._shapes_chosen()

    def _shapes_chosen(self, event: Any = None) -> None:
        shapes = self.form.shapes
        if shapes is not None:
            # Disconnected first: connecting twice would measure twice.
            shapes.events.data.disconnect(self._changed)
            shapes.events.data.connect(self._changed)
        if self.form.drawn:
            self._changed()

    def _frame_changed(self, event: Any = None) -> None:
        """Show the views of the frame in view; their layout is the same for all frames."""
        layer = self._layer
        if layer is not None and self.found is not None and layer_pixels(layer).ndim > 2:
            if not self._due and not self.runner.busy:
                self._start(layer, self.found, checked=True)

    def _changed(self, event: Any = None) -> None:
        self.found = None
        self.overlay.show_views(None)
        reason = validation_error(self._layer)
        self._due = not reason
        self._show_text(reason or "looking for the two views …")
        self._measure_later.throttle()

    # ---------------------------------------------------------------- the parts

    def _build(self) -> None:
        what = text_label()
        what.setText(FRAME_EXPLANATION)
        self.form = SplitForm(self.viewer.layers)
        self.form.layer_combo.changed.connect(self._layer_chosen)
        self.form.shapes_combo.changed.connect(self._shapes_chosen)
        self.form.layout_combo.currentIndexChanged.connect(self._changed)
        self.form.mirrored.currentIndexChanged.connect(self._changed)
        self.draw_button = QPushButton("Draw the views")
        self.draw_button.setToolTip("Add a Shapes layer with two rectangles to move.")
        self.draw_button.clicked.connect(self.draw)
        self.overlay = SplitOverlay()
        self.findings = text_label(selectable=True)
        self.split_button = QPushButton("Split")
        self.split_button.setToolTip(
            "<qt>Make a layer of each view, cropped at whole pixels to the common area, and choose "
            "them in the widget 'Denoise a pair (Noise2Noise)', with the remaining shift.</qt>"
        )
        self.split_button.clicked.connect(self.split)
        self.as_drawn_button = QPushButton("Split as drawn")
        self.as_drawn_button.setToolTip(
            "<qt>You know that both rectangles show the same scene: cut them out as they are. The "
            "shift between them is then checked in the widget of pairs.</qt>"
        )
        self.as_drawn_button.clicked.connect(self.split_as_drawn)
        self.as_drawn_button.hide()
        self.load_button = QPushButton("Load calibration …")
        self.load_button.setToolTip(
            "<qt>Use a layout that was saved before, for a movie of the same camera. It is "
            "compared with the movie.</qt>"
        )
        self.load_button.clicked.connect(self.load_calibration)
        self.save_button = QPushButton("Save calibration …")
        self.save_button.setToolTip(
            "<qt>Keep the layout, for later movies of the same camera, for the widget "
            "'Denoise live', the command line and scripts.</qt>"
        )
        self.save_button.clicked.connect(self.save_calibration)
        for part in (what, self.form, self.draw_button, self.overlay, self.findings):
            self.parts.addWidget(part)
        calibration = QHBoxLayout()
        calibration.addWidget(self.load_button)
        calibration.addWidget(self.save_button)
        self.parts.addLayout(calibration)
        self.parts.addWidget(self.split_button)
        self.parts.addWidget(self.as_drawn_button)
        self.parts.addStretch()

    def _enable(self) -> None:
        self.split_button.setEnabled(self.found is not None)
        self.save_button.setEnabled(self.found is not None)
        self.draw_button.setEnabled(self._layer is not None)
