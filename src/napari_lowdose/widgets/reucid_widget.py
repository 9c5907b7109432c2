"""The dock widget 'Denoise one image (REUCID)'."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari.layers import Image

from napari_lowdose.reucid import Reucid
from napari_lowdose.widgets.comparison.comparison_panel import ComparisonPanel
from napari_lowdose.widgets.comparison.part import Part, middle_in_view
from napari_lowdose.widgets.dock_area import RUN_IN_PROGRESS, RunDock, debounced
from napari_lowdose.widgets.filled_layer import FillIn
from napari_lowdose.widgets.history_panel import HistoryPanel
from napari_lowdose.widgets.layers import (
    NO_IMAGE,
    already_denoised_warning,
    axis_names,
    channel_axis,
    frame_in_view,
    layer_file,
    layer_pixel_size,
    suggested_layer,
    validation_error,
    view_error,
)
from napari_lowdose.widgets.presets import PRESETS_HELP, PresetField
from napari_lowdose.widgets.python_script import Axes, reucid_script
from napari_lowdose.widgets.region import chosen_region
from napari_lowdose.widgets.result_layer import METADATA_KEY, is_result
from napari_lowdose.widgets.reucid.alternatives import Alternatives
from napari_lowdose.widgets.reucid.eigenpatches import EigenpatchGallery
from napari_lowdose.widgets.reucid.form import ReucidForm
from napari_lowdose.widgets.reucid.kernel_plot import KernelPlot
from napari_lowdose.widgets.reucid.noise_plot import NoisePlot
from napari_lowdose.widgets.reucid.patch_sizes import (
    PatchSizeCache,
    PatchSizesStep,
    PsfWidthStep,
    is_stack,
)
from napari_lowdose.widgets.reucid.run import ReucidRun, RunHistory
from napari_lowdose.widgets.run_panel import CopyButton, RunPanel
from napari_lowdose.widgets.survival.defect_panel import DefectPanel
from napari_lowdose.widgets.survival.planted_sites import Subject, raw_frame_in_view

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari.viewer

    from napari_lowdose.engine import Step
    from napari_lowdose.widgets.jobs import Job
    from napari_lowdose.widgets.presets import Values
    from napari_lowdose.widgets.python_script import Index

NOT_KEPT = (
    "The eigenpatches of '{}' are not kept: it is from another widget or session, or too many "
    "results have been made since. Denoise again to choose among them."
)


class ReucidWidget(RunDock):
    """Denoise an image layer with REUCID and show the result as it builds up.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        Injected by napari.

    Attributes
    ----------
    current : ReucidRun or None
        The run of the selected result; its eigenpatches are shown.
    history : RunHistory
        The runs that can be recalled.
    patch_sizes : PatchSizeCache
        Known patch sizes of the chosen layer, if it is a stack of frames.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self.current: ReucidRun | None = None
        self.history = RunHistory()
        self.patch_sizes = PatchSizeCache()
        self._layer: Image | None = None
        self._estimate_due = False
        # A dict keeps the order of the clicks.
        self._rebuilds_due: dict[tuple[ReucidRun, Index], None] = {}
        self.runner.finished.connect(self._rebuild)  # before an estimate: the user waits for it
        self.runner.finished.connect(self._estimate)
        self._estimate_later = debounced(self, self._estimate)
        self._rebuild_later = debounced(self, self._rebuild)
        self._build()
        self._connect_viewer()
        self.reset_choices()
        self._show_layer()

    def reset_choices(self, event: Any = None) -> None:
        """Update the choices of image layers; napari calls this when layers change."""
        gone = self._layer is None or self._layer not in self.viewer.layers
        self.form.layer_combo.reset_choices()
        if gone and (layer := suggested_layer(self.viewer.layers)) is not None:
            self.form.layer_combo.value = layer
        self._layer_chosen()

    def denoise(self) -> None:
        """Start a run on the chosen layer, with the parameters of the form."""
        if self._refuse_second_run():
            return
        layer = self.form.layer
        if layer is None or validation_error(layer):
            self.panel.show_refusal(validation_error(layer))
            return
        try:
            engine = self.form.parameters()
        except ValueError as error:
            self.panel.show_refusal(str(error))
            return
        if reason := view_error(self.viewer.dims, layer, self.form.all_frames):
            self.panel.show_refusal(reason)
            return
        try:
            region = chosen_region(self.form.where.currentData(), self.viewer.layers, layer)
        except ValueError as error:
            self.panel.show_refusal(str(error))
            return
        frame = () if self.form.all_frames else frame_in_view(self.viewer.dims, layer)
        with_residual = self.form.with_residual.isChecked()
        requested, stacks_chosen = engine, self.form.stacks_chosen
        sizes = self.patch_sizes.get(layer, engine)  # those shown in the form, if known

        def make_run(engine: Reucid) -> ReucidRun:
            layers = self.viewer.layers
            run = ReucidRun(layers, layer, engine, frame, with_residual, sizes, region)
            run.requested, run.stacks_chosen = requested, stacks_chosen
            return run

        self._announce_run([already_denoised_warning(layer)])
        self._start(make_run, engine, stacks_chosen)

    def script(self) -> str:
        """Return the script for the result shown, or for the result that Denoise would make.

        Raises
        ------
        ValueError
            If the parameters of the form are invalid.
        """
        if self.current is not None:
            return self.current.script()
        layer, engine = self.form.layer, self.form.parameters()
        if layer is None:
            return reucid_script(engine, None)
        frame = () if self.form.all_frames else frame_in_view(self.viewer.dims, layer)
        sizes = self.patch_sizes.get(layer, engine)
        return reucid_script(
            engine, layer_file(layer), frame, sizes=sizes, axes=Axes.from_layer(layer)
        )

    # ------------------------------------------------------------------ a run

    def _start(
        self, make_run: Callable[[Reucid], ReucidRun], engine: Reucid, stacks_chosen: bool
    ) -> None:
        """Start a run; if the default number of stacks does not suit, let the engine choose it."""
        run = make_run(engine)

        def ended(job: Job) -> None:
            # Too many for a small image, or too few for the memory, but not chosen by the user.
            unsuited = job.outcome == "failed" and "n_stacks" in str(job.error)
            if unsuited and not (stacks_chosen or run.result or self.panel.stopping):
                self._start(make_run, replace(engine, n_stacks=None), True)
            else:
                self._ended(run, job)

        self._start_run(run, ended)

    def _advanced(self, run: ReucidRun, steps: list[Step]) -> None:
        self.panel.advance(steps[-1])
        known, before = len(run.notes), run.result
        run.show(steps)
        if run.stacks and not run.result_removed:
            if before is None:  # later the selected layer decides
                self.current = run
                self.history.add(run)
            if run is self.current:
                self._show_eigenpatches()
        if len(run.notes) > known:
            self._show_run_notes(run)

    def _warned(self, run: ReucidRun | None, message: str) -> None:
        if run is None:
            self.panel.warn(message)
        else:
            run.note(message)
            self._show_run_notes(run)

    def _show_run_notes(self, run: ReucidRun) -> None:
        self.panel.show_message("\n".join(run.notes))

    def _ended(self, run: ReucidRun, job: Job) -> None:
        super()._ended(run, job)
        run.status = self.panel.status.text()
        if run.result is not None and not run.result_removed:
            self.history.add(run)
        if run.source is not None:
            self.patch_sizes.set(run.source, run.requested, run.sizes)
        self._show_eigenpatches()  # the name no longer says partial
        self._show_history()

    def _error_text(self, run: ReucidRun, job: Job) -> str:
        return "\n".join([str(job.error), *run.notes])

    def _summary(self, run: ReucidRun) -> str:
        return run.summary()

    # ------------------------------------------------------------ eigenpatches

    def _show_eigenpatches(self, event: Any = None) -> None:
        run, index = self.current, self._shown_index()
        shown = run is not None and run.result is not None and index is not None
        if run is not None and run.result is not None and index is not None:
            of = f"'{run.result.name}'" + (f", frame {list(index)}" if index else "")
            self.gallery.show_stacks(run.stacks[index], run.chosen[index], of)
            self._show_kernel()
        self.gallery.setVisible(shown)
        noise = None if run is None or index is None else run.noise.get(index)
        if shown and noise is not None:
            self.noise_plot.show_noise(noise)
        self.noise_plot.setVisible(shown and noise is not None)
        # With alike stacks the denoiser is no convolution.
        self.kernel_plot.setVisible(shown and noise is None)

    def _show_kernel(self, position: int | None = None) -> None:
        """Show the kernel of the stack whose eigenpatches are shown."""
        stack, run = self.gallery.stack, self.current
        if stack is not None and run is not None and run.result is not None:
            self.kernel_plot.show_stack(stack, *layer_pixel_size(run.result))

    def _shown_index(self) -> Index | None:
        """Return the frame whose eigenpatches to show: the one in view if they are known."""
        return None if self.current is None else self.current.frame_near(self.viewer.dims)

    def _toggle(self, stack: int, number: int) -> None:
        index = self._shown_index()
        if self.current is None or self.current.result is None or index is None:
            return
        self.current.result.visible = True  # so that the effect of the click is seen
        try:
            self.current.toggle(index, stack, number)
        except ValueError as error:
            self.panel.show_message(str(error))
            return
        self._show_run_notes(self.current)
        self._show_eigenpatches()
        self._rebuilds_due[self.current, index] = None
        self._rebuild_later.throttle()

    def _rebuild(self) -> None:
        """Rebuild the results that are due, one after the other, after any running job."""
        if self.runner.busy:
            return
        for run, index in list(self._rebuilds_due):
            del self._rebuilds_due[run, index]
            if not run.result_removed:
                self.runner.run(
                    run.rebuild_steps(index),
                    functools.partial(self._rebuilt, run),
                    functools.partial(self._rebuild_ended, run, index),
                )
                return

    def _rebuilt(self, run: ReucidRun, steps: list[Step]) -> None:
        last = steps[-1]
        run.status = last.message
        if run is self.current and self._running is None:
            self.panel.end(last.message)
        if last.image is not None:
            run.replace(last.image, last.index)
            run.describe_choice()

    def _rebuild_ended(self, run: ReucidRun, index: Index, job: Job) -> None:
        if job.outcome == "stopped":  # by a run: do it afterwards
            self._rebuilds_due[run, index] = None
        self._show_failure(job)

    # --------------------------------------------------------- settings compared

    def _part(self) -> Part:
        """Return the part of the chosen layer on which to compare settings."""
        if self._running is not None:
            raise ValueError(RUN_IN_PROGRESS)
        return middle_in_view(self.viewer, self.form.layer, self.form.where.currentData())

    def _part_engine(self, values: Values) -> Reucid:
        """Return the engine for a part of the frame in view."""
        return self._known_patch_size(self.settings.engine(values))

    # ---------------------------------------------------------- a planted defect

    def _subject(self) -> Subject:
        """Return the chosen layer, and the engine of its result or else of the form."""
        if self._running is not None:
            raise ValueError(RUN_IN_PROGRESS)
        layer = self.form.layer
        frame = raw_frame_in_view(self.viewer.dims, layer)
        assert layer is not None  # or `raw_frame_in_view` raises
        run = self.current
        whole = run is not None and run.region is None
        if whole and run is not None and run.result is not None and run.source is layer:
            engine, name = run.engine_at(frame), run.result.name
            how = f"as '{name}'"
        else:
            engine, name = self.form.parameters(), f"{layer.name} REUCID"
            how = "with the settings above"
            if not self.form.stacks_chosen:  # one is faster, with practically the same result
                engine = replace(engine, n_stacks=None)
            engine = self._known_patch_size(engine)
        if engine.frames_together > 1:
            engine = replace(engine, frames_together=1)
            how += ", but from this frame alone"
        return Subject(layer, frame, engine, name, how)

    def _known_patch_size(self, engine: Reucid) -> Reucid:
        """Return the engine with the patch size that the stack has decided, if it is known."""
        layer = self.form.layer
        sizes = None if layer is None else self.patch_sizes.get(layer, engine)
        if layer is None or sizes is None:
            return engine
        return sizes.engine_at(engine, frame_in_view(self.viewer.dims, layer))

    # -------------------------------------------------------------- the layers

    def _active_changed(self, event: Any = None) -> None:
        """Follow the layer list: choose the active image, or recall the active result."""
        active = self.viewer.layers.selection.active
        if not isinstance(active, Image):
            return
        run = self.history.find(active)
        if run is not None:
            self._recall(run)
        elif is_result(active):
            self.current = None
            if self._running is None and active.metadata.get(METADATA_KEY, {}).get("finished"):
                self.panel.clear()
                self.panel.show_message(NOT_KEPT.format(active.name))
        else:
            if self._running is None and active in self.form.layer_combo.choices:
                self.form.layer_combo.value = active
            if self.current is None or self.current.source is not active:
                self.current = self.history.newest_on(active)
        self._show_eigenpatches()

    def _use_filled(self, layers: list[Image]) -> None:
        self.viewer.layers.selection.active = layers[0]

    def _show_history(self) -> None:
        self.past.show_runs(self.history.runs, self.current)

    def _go_back_to(self, run: ReucidRun) -> None:
        """Select the result of an earlier run, which brings back its gallery and settings."""
        if run.result is not None and not run.result_removed:
            self.viewer.layers.selection.active = run.result
            run.result.visible = True

    def _delete(self, run: ReucidRun) -> None:
        run.remove()

    def _recall(self, run: ReucidRun) -> None:
        """Show the eigenpatches, parameters and outcome of an earlier run."""
        if run is self.current:
            return
        self.current = run
        if self._running is not None:  # the form and the panel belong to the run in progress
            return
        if run.source in self.form.layer_combo.choices:
            self.form.layer_combo.value = run.source
        if isinstance(run.requested, Reucid):
            self.form.recall(run.requested, run.stacks_chosen, not run.frame, run.with_residual)
        self.panel.clear()
        self.panel.end(run.status)
        if run.run.finished:
            self.panel.progress.setValue(self.panel.progress.maximum())
        self._show_run_notes(run)

    def _layer_chosen(self, event: Any = None) -> None:
        layer = self.form.layer
        stack = layer is not None and not layer.rgb and layer.ndim > 2
        self.form.show_frames(stack, layer is not None and channel_axis(axis_names(layer)) != 0)
        if layer is not self._layer:
            if self._layer is not None:
                self._layer.events.data.disconnect(self._data_changed)
            if layer is not None:
                layer.events.data.connect(self._data_changed)
            self._layer = layer
            if self._running is None:
                self.panel.clear()
            self._show_layer()
            self._data_changed()
        self._enable()

    def _show_layer(self) -> None:
        """Show what is wrong with the layer, or how to begin if there is none."""
        layer = self.form.layer
        if layer is None and self._running is None:
            self.panel.end(NO_IMAGE)
        self.panel.show_message("" if layer is None else validation_error(layer))

    def _data_changed(self, event: Any = None) -> None:
        self.patch_sizes.clear()
        self.form.patch_size.set_estimate(None)
        self._request_estimate()

    def _request_estimate(self, event: Any = None) -> None:
        self._estimate_due = True
        self._estimate_later.throttle()

    def _layer_removed(self, event: Any = None) -> None:
        super()._layer_removed()
        self.history.remove_deleted()
        self._show_history()
        if self.current is not None and self.current.result_removed:
            self.current = None
            self._show_eigenpatches()
            if self._running is None:
                self.panel.clear()

    def _estimate(self) -> None:
        """Estimate the PSF width, or the patch sizes of a stack, after any running job."""
        layer = self.form.layer
        if not self._estimate_due or self.runner.busy or layer is None or validation_error(layer):
            return
        self._estimate_due = False
        steps = self.patch_sizes.steps(layer, self.viewer.dims, self._engine())
        self.runner.run(steps, functools.partial(self._estimated, layer), self._estimate_ended)

    def _engine(self) -> Reucid:
        try:
            return self.form.parameters()
        except ValueError:  # reported when a run is started
            return Reucid()

    def _estimated(self, layer: Image, steps: list[Step]) -> None:
        for step in steps:
            if isinstance(step, PsfWidthStep) and layer is self.form.layer:
                self.form.patch_size.set_estimate(step.psf_width)
            elif isinstance(step, PatchSizesStep):
                self.patch_sizes.set(layer, step.engine, step.sizes)
        self._show_patch_size()

    def _estimate_ended(self, job: Job) -> None:
        if job.outcome == "stopped":  # by a run: do it afterwards
            self._estimate_due = True
        self._show_failure(job)

    def _show_patch_size(self, event: Any = None) -> None:
        """Show the patch size of the frame in view, which may differ between channels."""
        layer, engine = self.form.layer, self._engine()
        if layer is not None and is_stack(layer, engine):
            frame = frame_in_view(self.viewer.dims, layer)
            self.form.patch_size.set_estimate(*self.patch_sizes.widths(layer, engine, frame))

    def _show_failure(self, job: Job) -> None:
        if job.outcome == "failed":
            self.panel.show_message(str(job.error))

    # ---------------------------------------------------------------- the parts

    def _build(self) -> None:
        self.form = ReucidForm(self.viewer.layers)
        self.presets = PresetField(self.form, "REUCID", ("frames", "where"), ("stacks_chosen",))
        self.form.add("settings", self.presets, PRESETS_HELP)
        self.form.layer_combo.changed.connect(self._layer_chosen)
        for field in (self.form.strength, self.form.scan_noise):
            field.currentIndexChanged.connect(self._request_estimate)
        self.panel = RunPanel()
        self.form.classifier.refused.connect(self.panel.show_message)
        self.panel.start_button.clicked.connect(self.denoise)
        self.panel.stop_button.clicked.connect(self.stop)
        self.fill_in = FillIn(
            self.viewer.layers, self.runner, self.panel.remedy_button, self._refuse_second_run
        )
        self.gallery = EigenpatchGallery()
        self.gallery.toggled.connect(self._toggle)
        self.gallery.stack_combo.currentIndexChanged.connect(self._show_kernel)
        self.gallery.setVisible(False)
        self.kernel_plot = KernelPlot()
        self.kernel_plot.setVisible(False)
        self.noise_plot = NoisePlot()
        self.noise_plot.setVisible(False)
        self.settings = Alternatives(self.form, self.presets, self.history)
        self.comparison = ComparisonPanel(self.viewer, self.settings, self._part, self._part_engine)
        self.defects = DefectPanel(self.viewer, self._subject)
        tooltip = "Copy a script that reproduces this result, with the eigenpatches kept now."
        self.copy_button = CopyButton(self.script, self.panel, tooltip)
        self.parts.addWidget(self.form)
        self.parts.addWidget(self.panel)
        self.parts.addWidget(self.comparison)
        self.parts.addWidget(self.defects)
        self.parts.addWidget(self.gallery, 1)
        self.parts.addWidget(self.kernel_plot)
        self.parts.addWidget(self.noise_plot)
        self.past = HistoryPanel()
        self.past.chosen.connect(self._go_back_to)
        self.past.deleted.connect(self._delete)
        self.parts.addWidget(self.copy_button)
        self.parts.addWidget(self.past)
        self.parts.addStretch()

    def _enable(self, event: Any = None) -> None:
        ready = not validation_error(self.form.layer)
        self.panel.set_running(self._running is not None, ready)
        self.gallery.set_clickable(self._running is None)

    def _connect_viewer(self) -> None:
        self.listen(
            (self.viewer.layers.events.removed, self._layer_removed),
            (self.viewer.layers.selection.events.active, self._active_changed),
            (self.viewer.dims.events.current_step, self._show_eigenpatches),
            (self.viewer.dims.events.current_step, self._show_patch_size),
        )

        def disconnect_layers() -> None:
            if self._layer is not None:
                self._layer.events.data.disconnect(self._data_changed)

        self.destroyed.connect(disconnect_layers)
