"""The dock widget 'Denoise a pair (Noise2Noise)'."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog

from napari_lowdose.noise2noise import TrainingStep
from napari_lowdose.noise2noise.pair_source import training_of
from napari_lowdose.noise2noise.warm_start import load_torch_for_interface
from napari_lowdose.thinning import Thinned, ThinnedNetwork, network_engine
from napari_lowdose.widgets.dock_area import RUN_IN_PROGRESS, RunDock, debounced
from napari_lowdose.widgets.filled_layer import FillIn
from napari_lowdose.widgets.history_panel import HistoryPanel
from napari_lowdose.widgets.layer_run import LayerRun, LazyRun, ZarrRun
from napari_lowdose.widgets.layers import (
    ONE_LAYER,
    already_denoised_warning,
    frame_in_view,
    layer_file,
    layer_pixel_size,
    pixel_size_note,
    validation_error,
    view_error,
)
from napari_lowdose.widgets.menus import open_widget
from napari_lowdose.widgets.noise2noise.chosen_pair import SPLIT_FIRST, ChosenPair
from napari_lowdose.widgets.noise2noise.form import Noise2NoiseForm
from napari_lowdose.widgets.noise2noise.pair_card import PairCard
from napari_lowdose.widgets.noise2noise.run import (
    PairRun,
    common_name,
    with_training,
)
from napari_lowdose.widgets.noise2noise.source import SourceChoice
from napari_lowdose.widgets.noise2noise.training_panel import (
    EXPOSURE,
    IMAGE,
    LossPlot,
    TrainingPanel,
)
from napari_lowdose.widgets.presets import PRESETS_HELP, PresetField
from napari_lowdose.widgets.python_script import Axes, applying_script, training_script
from napari_lowdose.widgets.result_layer import layer_pixels
from napari_lowdose.widgets.run_panel import CopyButton
from napari_lowdose.widgets.survival.defect_panel import DefectPanel
from napari_lowdose.widgets.survival.planted_sites import Subject, raw_frame_in_view
from napari_lowdose.widgets.titles import ONE_IMAGE, SPLIT
from napari_lowdose.widgets.trained_network import (
    NetworkPanel,
    TrainedNetwork,
    network_file,
    network_fit_steps,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import napari.viewer
    from napari.layers import Image

    from napari_lowdose.engine import Step
    from napari_lowdose.noise2noise import Noise2NoiseModel
    from napari_lowdose.widgets.jobs import Job
    from napari_lowdose.widgets.noise2noise.chosen_pair import Layers

# Choosing the folder of an interrupted run resumes it: no overwriting to confirm.
RESUMABLE = QFileDialog.Option.DontConfirmOverwrite
DIFFERENT_PAIR = (
    "The network was trained on another pair: press Train anew for a new network, or choose the "
    "pair that it was trained on."
)
READY = "Checked: press Train."
NO_NETWORK = "Train a network first, or load one: a defect is planted into a single exposure."
SOURCES_CHANGED = (
    "An exposure was changed or removed: the run goes on with the pixels from its start."
)
OUT_OF_MEMORY = (
    "there is not enough memory: choose a smaller batch size or crop size (advanced), train on "
    "fewer pairs, or choose the CPU as device."
)


LOAD_AFTER = 500  # ms, when the widget has been painted


# What a pair or its camera decides is not remembered for other pairs
OF_THE_IMAGES = ("frames", "pairs", "noise", "gain", "offset", "read_noise", "shift", "context")


class Noise2NoiseWidget(RunDock):
    """Train a network on a pair of layers, a movie, or a counted image, and apply it.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        Injected by napari.
    """

    panel: TrainingPanel
    out_of_memory = OUT_OF_MEMORY
    no_result_reason = "there is no network yet"

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self._shown: LayerRun | None = None
        self._past_runs: list[LayerRun] = []
        self._requested_pair: Layers | None = None
        self._ready = ""  # what to say once the layers that came back are checked
        self._build()
        # After a delay: choosing two layers changes the pair twice.
        self._check_later = debounced(self, self.pair.check)
        self.pair.changed.connect(self._pair_changed)
        self.pair.chosen.connect(self._pair_chosen)
        self.pair.outdated.connect(self.panel.forget_refusal)
        self.pair.checked.connect(self._pair_checked)
        self.pair.registered.connect(self._lead_to_train)
        self.listen(
            (self.viewer.layers.events.removed, self._layer_removed),
            (self.viewer.layers.selection.events.changed, self.pair.selection_changed),
        )
        self.destroyed.connect(self.pair.disconnect_layers)
        self.reset_choices()
        self.pair.data_changed()
        QTimer.singleShot(LOAD_AFTER, load_torch_for_interface)

    @property
    def model(self) -> Noise2NoiseModel | None:
        """The network that Save, Continue and Apply use: the last one trained or loaded."""
        network = self.network.network
        return None if network is None else network.model

    # --------------------------------------------------------------- the pair

    def reset_choices(self, event: Any = None) -> None:
        """Update the choices of image layers; napari calls this when layers change."""
        self.network.target.reset_choices()
        self.pair.reset_choices()

    def choose_pair(self, first: Image, second: Image) -> None:
        """Choose the two layers of a pair, check them, and lead to Train."""
        self.pair.choose(first, second)
        self._lead_to_train()

    def _lead_to_train(self) -> None:
        self._ready = READY
        if self.pair.is_checked:
            self._pair_checked()

    def check_and_train(self, first: Image, second: Image) -> None:
        """Choose a pair, check it, and train on it if no problem is found."""
        run = self._running
        if isinstance(run, PairRun) and run.was_trained_on((first, second)):
            self.panel.show_message("Training on this pair is already in progress.")
        elif not self._refuse_second_run():
            self.pair.choose(first, second)
            self._requested_pair, self._ready = self.pair.layers, ""
            if self.pair.is_checked:
                self._pair_checked()
            else:
                self.panel.end("checking the pair before training …")

    def _pair_changed(self) -> None:
        run = self._running
        if isinstance(run, PairRun) and run.sources_changed:
            self.panel.warn(SOURCES_CHANGED)
        self._check_later.throttle()
        self._enable()

    def _pair_chosen(self) -> None:
        self._requested_pair, self._ready = None, ""
        if self._running is None:
            self.panel.clear()

    def _pair_checked(self) -> None:
        if self._ready and self._running is None and not self.pair.refusal:
            self.panel.end(self._ready)
            self.panel.start_button.setFocus()
            self.ensureWidgetVisible(self.panel.start_button)
        self._ready = ""
        asked_for, self._requested_pair = self._requested_pair, None
        if asked_for is None or asked_for != self.pair.layers or self._running is not None:
            return
        if reason := self.pair.layer_error() or self.card.first_problem:
            self.panel.show_refusal(reason)
        else:
            self.train()

    # ---------------------------------------------------------------- other widgets

    def _split(self) -> None:
        """Open the widget that splits the chosen frame; it chooses the two views here."""
        widget = open_widget(self.viewer, SPLIT)
        if self.form.only is not None:
            widget.choose(self.form.only)

    def _use_reucid(self) -> None:
        """Open the widget REUCID with the layer that cannot be trained on."""
        widget = open_widget(self.viewer, ONE_IMAGE)
        widget.form.layer_combo.value = self.pair.layers[0]

    # ---------------------------------------------------------------- training

    def train(self) -> None:
        """Train a new network on the chosen pair."""
        self._train(None)

    def continue_training(self) -> None:
        """Continue training the current network on the same pair."""
        network = self.network.network
        if network is None or not self._was_trained_here(network):
            self.panel.show_refusal(DIFFERENT_PAIR)
            return
        self._train(network)

    def _was_trained_here(self, network: TrainedNetwork) -> bool:
        """Whether a network was trained on what is chosen now."""
        try:
            engine = self.pair.engine()
        except ValueError:  # parameters out of range
            return False
        return network.was_trained_on(self.pair.sources, engine, self.pair.exposures)

    def _train(self, start: TrainedNetwork | None) -> None:
        if self._refuse_second_run():
            return
        if reason := self.pair.refusal:
            self.panel.show_refusal(reason)
            return
        sources = tuple(each for each in self.pair.sources if each is not None)
        self._requested_pair, self._ready = None, ""
        if reason := view_error(self.viewer.dims, sources[0], self.form.all_frames):
            self.panel.show_refusal(reason)
            return
        view = self.pair.frame()
        size, unit = layer_pixel_size(sources[0])
        try:
            engine = with_training(
                self.pair.engine(),
                start=None if start is None else start.model,
                preview=view,
                pixel_size=size,
                pixel_unit=unit,
            ).with_channel_axis(self.pair.channel_axis())
            run = PairRun(
                self.viewer.layers,
                sources,
                engine,
                () if self.form.all_frames else view,
                start=start,
                with_disagreement=self.form.with_disagreement.isChecked(),
                with_residual=self.form.with_residual.isChecked(),
            )
        except ValueError as error:  # parameters out of range, or two different shapes
            self.panel.show_refusal(str(error))
            return
        if start is None:
            self.plot.clear_curves()
        self._start(run)

    def stop(self) -> None:
        """End the training and denoise with the best network, or stop denoising."""
        run = self._running
        if run is None:
            return
        if isinstance(run, PairRun) and not run.training_ended:
            # The engine ends the training; the runner would end the run, without a result.
            run.training.enough.set()
            self.panel.stop()
            if run.model is None:  # nothing to denoise with yet
                self.runner.stop()
            else:
                self.panel.status.setText("stopping: denoising with the best network so far …")
                self.panel.stop_button.setEnabled(True)  # a second press stops denoising
        else:
            self.panel.stop()
            self.runner.stop()

    def use_network(self, network: TrainedNetwork) -> None:
        """Take a network that was trained elsewhere, in place of the current one."""
        if not self._refuse_second_run():
            self.network.keep(network)
            self._loaded()

    # ---------------------------------------------------------------- applying

    def apply(self) -> None:
        """Apply the network to the chosen layer, or to the pair."""
        if self._refuse_second_run() or self.model is None:
            return
        target = self.network.target_layer
        sources = self.pair.sources if target is None else (target,)
        reason = next(filter(None, map(validation_error, sources)), "")
        if len(sources) > 1 and sources[0] is sources[1]:
            reason = reason or ONE_LAYER
        if reason:
            self.panel.show_refusal(reason)
            return
        first, last = sources[0], sources[-1]
        assert first is not None and last is not None  # or there would be a refusal
        extent = self.network.extent.currentData() if layer_pixels(first).ndim > 2 else "all"
        if reason := view_error(self.viewer.dims, first, extent != "current"):
            self.panel.show_refusal(reason)
            return
        name = f"{common_name(first.name, last.name)} denoised"
        warnings = [
            pixel_size_note(self.model, first),
            *map(already_denoised_warning, dict.fromkeys((first, last))),
        ]
        # Halves of a counted image; the exposures of a pair are as noisy as such a half
        engine = network_engine(self.model) if len(sources) == 1 else self.model
        source: Any = first if len(sources) == 1 else sources
        if extent == "lazy":
            self._announce_run()
            self._shown = LazyRun(self.viewer.layers, source, engine, name)
            for warning in warnings:
                self._warned(None, warning)
            self.panel.end("Each frame is denoised when it is shown.")
            return
        if extent == "zarr":
            path, _ = QFileDialog.getSaveFileName(
                self, "Folder for the movie", f"{name}.zarr", "zarr (*.zarr)", options=RESUMABLE
            )
            if path:
                path = path if path.endswith(".zarr") else f"{path}.zarr"
                self._start(ZarrRun(self.viewer.layers, source, engine, path, name), warnings)
            return
        frame = frame_in_view(self.viewer.dims, first) if extent == "current" else ()
        self._start(LayerRun(self.viewer.layers, source, engine, frame, name=name), warnings)

    def apply_to(self, layer: Image) -> None:
        """Apply the network to `layer`, to all frames of a movie."""
        self.network.target.value = layer
        self.network.extent.setCurrentIndex(self.network.extent.findData("all"))
        self.apply()

    def apply_if_suitable(self, layer: Image, otherwise: Callable[[str], None]) -> None:
        """Apply the network to `layer`, or call `otherwise` with the reason why not."""
        if self.model is None or self._running is not None:
            otherwise("")
            return
        mismatches: list[str] = []
        note = pixel_size_note(self.model, layer)
        steps = network_fit_steps(self.model, layer_pixels(layer), note)

        def ended(job: Job) -> None:
            if layer not in self.viewer.layers:
                return
            if mismatches == [""] and self._running is None:
                self.apply_to(layer)
            else:
                otherwise(next(iter(mismatches), str(job.error or "")))

        self.runner.run(steps, lambda steps: mismatches.append(steps[-1].mismatch), ended)

    # -------------------------------------------------------------------- a run

    def _start(self, run: LayerRun, warnings: Iterable[str] = ()) -> None:
        self.pair.running = True
        self._announce_run(warnings)
        self._start_run(run)

    def _advanced(self, run: LayerRun, steps: list[Step]) -> None:
        super()._advanced(run, steps)
        if run.result is not None:
            self._shown = run
        if isinstance(run, PairRun):
            self.plot.add([step for step in steps if isinstance(step, TrainingStep)])
            self._show_gain(run)
            self._keep(run)

    def _warned(self, run: LayerRun | None, message: str) -> None:
        if message not in [note.message for note in self.card.notes]:  # it is shown there
            self.panel.warn(message)

    def _release(self) -> None:
        self.pair.running = False
        self.pair.reset_choices()  # while `_running` is set: the panel keeps its messages
        super()._release()

    def _use_filled(self, layers: list[Image]) -> None:
        if self.network.target_layer is None:
            self.pair.use_filled(self.pair.source, layers)
        else:
            self.network.target.value = layers[0]

    def _summary(self, run: LayerRun) -> str:
        return run.last.trained if isinstance(run, PairRun) and run.last else ""

    def _ended(self, run: LayerRun, job: Job) -> None:
        super()._ended(run, job)
        run.status = " ".join(filter(None, [self.panel.gain.text(), self.panel.status.text()]))
        if run.result is not None:
            self._past_runs.append(run)
        self._show_history()

    def _show_history(self) -> None:
        self._past_runs = [run for run in self._past_runs if not run.result_removed]
        self.past.show_runs(self._past_runs, self._shown)

    def _go_back_to(self, run: LayerRun) -> None:
        """Show an earlier result, with its settings, its network and its gain."""
        if self._running is not None or run.result is None or run.result_removed:
            return
        self._shown = run
        self.viewer.layers.selection.active = run.result
        run.result.visible = True
        self.panel.clear()
        if isinstance(run, PairRun):
            self.form.recall(training_of(run.engine))
            self._keep(run)
            self._show_gain(run)
        self.panel.end(run.status.removeprefix(self.panel.gain.text()).strip())

    def _show_gain(self, run: PairRun) -> None:
        over = IMAGE if isinstance(run.engine, Thinned) else EXPOSURE
        self.panel.show_gain(run.gain, over, run.instead)

    def _keep(self, run: PairRun) -> None:
        """Make the network of `run` the one that Save, Continue and Apply use."""
        if run.model is not None and run.model is not self.model:
            first = self.network.network is None
            self.network.keep(TrainedNetwork(run.model, run.scene, run=run))
            if first:
                self._enable()

    def _layer_removed(self, event: Any = None) -> None:
        super()._layer_removed()
        run = self._running
        if isinstance(run, PairRun) and run.sources_changed and not run.result_removed:
            self.panel.warn(SOURCES_CHANGED)
        self._show_history()
        if self._shown is not None and self._shown.result_removed:
            self._shown = None
            if self._running is None:
                self.panel.clear()

    # ---------------------------------------------------------- a planted defect

    def _subject(self) -> Subject:
        """Return the layer that the network is applied to, or the first exposure."""
        if self._running is not None:
            raise ValueError(RUN_IN_PROGRESS)
        network = self.network.network
        if network is None:
            raise ValueError(NO_NETWORK)
        layer = self.network.target_layer or self.pair.layers[0]
        frame = raw_frame_in_view(self.viewer.dims, layer)
        assert layer is not None  # or `raw_frame_in_view` raises
        name = f"{layer.name} denoised"
        engine = network_engine(network.model)
        return Subject(layer, frame, engine, name, "with the network above")

    # ----------------------------------------------------------------- the network

    def _loaded(self) -> None:
        network = self.network.network
        assert network is not None  # it was just loaded
        self.plot.clear_curves()
        self.panel.clear()
        self.panel.show_gain(network.gain, IMAGE if network.thinned else EXPOSURE)
        self._enable()

    def script(self) -> str:
        """Return the script for the result shown, or for the result that Train would make.

        Raises
        ------
        ValueError
            If the parameters of the form are invalid.
        """
        if isinstance(self._shown, PairRun):
            return self._shown.script()
        run = self._shown
        if run is not None:
            name = "" if run.result is None else run.result.name
            applied = run.run.engine
            return applying_script(
                network_file(applied.model),
                run.paths,
                run.frame,
                name,
                Axes.from_layer(run.result),
                thinned=isinstance(applied, ThinnedNetwork),
            )
        if self.pair.source == "split":
            raise ValueError(SPLIT_FIRST)
        sources = self.pair.sources
        names = ["" if each is None else each.name for each in sources]
        return training_script(
            self.pair.engine(),
            [layer_file(each) for each in sources],
            () if self.form.all_frames else self.pair.frame(),
            name=f"{common_name(names[0], names[-1])} Noise2Noise",
            axes=Axes.from_layer(sources[0]),
        )

    # ---------------------------------------------------------------- the parts

    def _build(self) -> None:
        self.choice = SourceChoice()
        self.card = PairCard()
        self.card.reucid_requested.connect(self._use_reucid)
        self.form = Noise2NoiseForm(self.viewer.layers, self.card)
        self.presets = PresetField(self.form, "pair", OF_THE_IMAGES)
        self.form.add("settings", self.presets, PRESETS_HELP)
        self.form.split_button.clicked.connect(self._split)
        self.pair = ChosenPair(self.viewer, self.choice, self.form, self.card, self.runner, self)
        self.panel = TrainingPanel()
        self.panel.start_button.clicked.connect(self.train)
        self.panel.continue_button.clicked.connect(self.continue_training)
        self.panel.stop_button.clicked.connect(self.stop)
        self.fill_in = FillIn(
            self.viewer.layers, self.runner, self.panel.remedy_button, self._refuse_second_run
        )
        self.plot = LossPlot()
        self.network = NetworkPanel(self.viewer.layers)
        self.network.loaded.connect(self._loaded)
        self.network.succeeded.connect(self.panel.end)
        self.network.failed.connect(self.panel.show_message)
        self.network.apply_button.clicked.connect(self.apply)
        self.network.target.changed.connect(self._enable)
        self.defects = DefectPanel(self.viewer, self._subject)
        tooltip = "Copy a script that reproduces this result."
        self.copy_button = CopyButton(self.script, self.panel, tooltip)
        self.parts.addWidget(self.choice)
        self.parts.addWidget(self.form)
        self.parts.addWidget(self.panel)
        self.parts.addWidget(self.plot)
        self.parts.addWidget(self.network)
        self.parts.addWidget(self.defects)
        self.past = HistoryPanel()
        self.past.chosen.connect(self._go_back_to)
        self.past.deleted.connect(lambda run: run.remove())
        self.parts.addWidget(self.copy_button)
        self.parts.addWidget(self.past)
        self.parts.addStretch()

    def _enable(self, event: Any = None) -> None:
        running = self._running is not None
        network = self.network.network
        known = network is not None and self._was_trained_here(network)
        self.panel.label_start_button(network is not None)
        self.panel.set_buttons(running, not self.pair.refusal, known)
        self.network.set_buttons(running)
        target = self.network.target_layer or self.pair.layers[0]
        stack = target is not None and not target.rgb and layer_pixels(target).ndim > 2
        self.network.form.show_field(self.network.extent, stack)
