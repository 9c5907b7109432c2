"""The dock widget 'Noise2Noise pair'."""

from __future__ import annotations

import functools
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtWidgets import QFileDialog

from napari_lowdose.noise2noise import TrainingStep
from napari_lowdose.widgets.copy_button import CopyButton
from napari_lowdose.widgets.dock_area import DockArea
from napari_lowdose.widgets.jobs import Job, JobRunner
from napari_lowdose.widgets.layer_choice import frame_in_view, most_likely_pair
from napari_lowdose.widgets.layer_file import file_of
from napari_lowdose.widgets.layer_run import LayerRun
from napari_lowdose.widgets.lazy_run import LazyRun
from napari_lowdose.widgets.loss_plot import LossPlot
from napari_lowdose.widgets.network_panel import NetworkPanel
from napari_lowdose.widgets.noise2noise_form import Noise2NoiseForm
from napari_lowdose.widgets.noise2noise_script import applying_script, training_script
from napari_lowdose.widgets.pair_card import PairCard
from napari_lowdose.widgets.pair_check_job import PairCheckStep, pair_check_steps
from napari_lowdose.widgets.pair_run import PairRun, common_name
from napari_lowdose.widgets.pair_shift import known_shift
from napari_lowdose.widgets.register_job import RegisterStep, add_registered, register_steps
from napari_lowdose.widgets.result_layer import is_result, pixels_of
from napari_lowdose.widgets.run_panel import duration
from napari_lowdose.widgets.suitable import why_unsuitable
from napari_lowdose.widgets.trained_network import TrainedNetwork
from napari_lowdose.widgets.training_panel import TrainingPanel
from napari_lowdose.widgets.zarr_run import ZarrRun

if TYPE_CHECKING:
    import napari.viewer

    from napari_lowdose.noise2noise import Noise2NoiseModel
    from napari_lowdose.steps import Step

NEIGHBOURS = (
    "One movie: neighbouring frames are the pairs. That is right only if little moves from one to "
    "the next. Each frame is then denoised by itself."
)
GOOD = "Nothing speaks against this pair."
# A folder that the same run has begun is gone on with: there is nothing to confirm.
RESUMABLE = QFileDialog.Option.DontConfirmOverwrite
ONE_LAYER = "Choose two different layers: an image that is its own partner teaches nothing."
OUT_OF_MEMORY = (
    "there is not enough memory: choose a smaller batch size or crop size (advanced), train on "
    "fewer pairs, or take the CPU."
)


class Noise2NoiseWidget(DockArea):
    """Train a network on a pair of image layers, and apply it.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        Injected by napari.

    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self._shown: PairRun | LayerRun | None = None
        self._running: PairRun | LayerRun | None = None
        self._started = 0.0
        self._pair: tuple[Image | None, Image | None] = (None, None)
        self._by_hand = False
        self._check_due = False
        self._notes: list[str] = []
        self.runner = JobRunner(self)
        self.runner.finished.connect(self._check)
        self._check_later = self.settled(self._check)
        self._build()
        self.listen(
            (self.viewer.layers.events.removed, self._layer_removed),
            (self.viewer.layers.selection.events.changed, self._selection_changed),
        )
        self.reset_choices()
        self._data_changed()

    @property
    def model(self) -> Noise2NoiseModel | None:
        """The network that Save, Continue and Apply mean: trained or loaded last."""
        network = self.network.network
        return None if network is None else network.model

    # --------------------------------------------------------------- the pair

    def reset_choices(self, event: Any = None) -> None:
        """Offer the image layers that there are now; napari calls this as layers change."""
        for combo in (self.form.first_combo, self.form.second_combo, self.network.target):
            combo.reset_choices()
        first, second = self._pair
        gone = first not in self.viewer.layers or second not in self.viewer.layers
        if self._running is None and (gone or first is second or not self._by_hand):
            self._choose(*most_likely_pair(self.viewer.layers))
        self._pair_chosen()

    def choose_pair(self, first: Image, second: Image) -> None:
        """Fill in the two layers of a pair."""
        self._choose(first, second)
        self._by_hand = True
        self._pair_chosen()
        self.form.shift.value = known_shift(first, second)  # it may have become known since

    def _choose(self, first: Image | None, second: Image | None) -> None:
        for combo, layer in ((self.form.first_combo, first), (self.form.second_combo, second)):
            if layer is not None and layer in combo.choices:
                with combo.changed.blocked():
                    combo.value = layer

    def _chosen_by_hand(self, event: Any = None) -> None:
        self._by_hand = True

    def _selection_changed(self, event: Any = None) -> None:
        """Choose the two images that are selected in the layer list, if it is two."""
        chosen = [
            layer
            for layer in self.viewer.layers
            if layer in self.viewer.layers.selection and isinstance(layer, Image)
        ]
        ours = any(is_result(layer) for layer in chosen)
        if len(chosen) == 2 and not ours and self._running is None:
            self.choose_pair(*chosen)

    def _pair_chosen(self, event: Any = None) -> None:
        pair = self.form.first, self.form.second
        first, second = pair
        if first is not self._pair[0] or second is not self._pair[1]:
            for layer in {each for each in self._pair if each is not None}:
                layer.events.data.disconnect(self._data_changed)
            for layer in {each for each in pair if each is not None}:
                layer.events.data.connect(self._data_changed)
            self._pair = pair
            if first is not None and second is not None:
                self.form.shift.value = known_shift(first, second)
            if self._running is None:
                self.panel.clear()
            self._data_changed()
        self._enable()

    def _data_changed(self, event: Any = None) -> None:
        stack = self._is_stack()
        self.form.show_stack(stack, self._neighbours())
        self._check_due = True
        why = self._why_unsuitable()
        if why:
            self.card.say(why, "refuse")
        elif self._running is None:
            self.card.say("looking at the pair …")
        self._check_later.start()
        self._enable()

    def _why_unsuitable(self) -> str:
        first, second = self._pair
        if first is None or second is None:
            return "Open the two exposures first: they are to be image layers."
        if why := why_unsuitable(first) or why_unsuitable(second):
            return why
        return ONE_LAYER if first is second and not self._is_stack() else ""

    def _is_stack(self) -> bool:
        first = self._pair[0]
        return first is not None and not first.rgb and pixels_of(first).ndim > 2

    def _neighbours(self) -> bool:
        return self._pair[0] is self._pair[1] and self._is_stack()

    def _pixels(self) -> tuple[Any, Any]:
        """Return the two arrays of the pair, as they are trained on."""
        first, second = (pixels_of(layer) for layer in self._pair if layer is not None)
        return (first[:-1], second[1:]) if self._neighbours() else (first, second)

    def _check(self) -> None:
        """Look at the pair; if a run is under way, after it."""
        if not self._check_due or self.runner.busy or self._why_unsuitable():
            return
        self._check_due = False
        job = Job(pair_check_steps(*self._pixels(), self.form.shift.value))
        job.advanced.connect(functools.partial(self._checked, self._pair))
        job.ended.connect(self._check_ended)
        self.runner.start(job)

    def _checked(self, pair: tuple[Image, Image], steps: list[PairCheckStep]) -> None:
        if pair != self._pair or self._check_due:
            return
        notes = steps[-1].notes
        if self._neighbours():
            self.card.say(NEIGHBOURS, "note", notes)
        else:
            self.card.say("" if notes else GOOD, "good", notes)
        self._enable()

    def _check_ended(self, job: Job) -> None:
        if job.outcome == "failed":
            self.card.say(str(job.error), "warn")
        elif job.outcome == "stopped":  # by a run, and it stays due until after that
            self._check_due = True

    # ------------------------------------------------------------- registering

    def register(self) -> None:
        """Make two layers in register out of the chosen pair, and choose them."""
        first, second = self._pair
        if first is None or second is None or self._running is not None:
            return
        job = Job(register_steps(*self._pixels()))
        job.advanced.connect(functools.partial(self._registered, first, second))
        job.ended.connect(self._check_ended)
        self.card.register_button.setEnabled(False)
        self.runner.start(job)

    def _registered(self, first: Image, second: Image, steps: list[RegisterStep]) -> None:
        self.card.register_button.setEnabled(True)
        made = add_registered(self.viewer.layers, first, second, steps[-1])
        self.choose_pair(*made)

    # ---------------------------------------------------------------- training

    def train(self) -> None:
        """Train a new network on the chosen pair."""
        self._train(None)

    def continue_training(self) -> None:
        """Train the network that there is further."""
        self._train(self.network.network)

    def _train(self, start: TrainedNetwork | None) -> None:
        if self._running is not None:
            self.panel.tell("A run is under way: press Stop first.")
            return
        first, second = self._pair
        if why := self._why_unsuitable() or self.card.refusal:
            self.panel.refuse(why)
            return
        assert first is not None and second is not None  # else it is unsuitable
        view = frame_in_view(self.viewer.dims, first) if self._is_stack() else ()
        if self._neighbours():
            view = (min(view[0], len(pixels_of(first)) - 2), *view[1:])
        try:
            model = None if start is None else start.model
            engine = replace(self.form.parameters(), start=model, preview=view)
            run = PairRun(
                self.viewer.layers,
                first,
                second,
                engine,
                () if self.form.all_frames else view,
                start=start,
                with_disagreement=self.form.with_disagreement.isChecked(),
                with_residual=self.form.with_residual.isChecked(),
            )
        except ValueError as error:  # parameters out of range, or two different shapes
            self.panel.refuse(str(error))
            return
        if start is None:
            self.plot.clear_curves()
        self._start(run)

    def stop(self) -> None:
        """End the training and denoise with the best network; or stop denoising."""
        run = self._running
        if run is None:
            return
        if isinstance(run, PairRun) and not run.training_ended:
            run.training.enough.set()
            self.panel.stop()
            if run.model is None:
                self.runner.stop()
            else:
                self.panel.status.setText("stopping: denoising with the best network so far …")
                self.panel.stop_button.setEnabled(True)  # a second time: leave it at that
        else:
            self.panel.stop()
            self.runner.stop()

    # ---------------------------------------------------------------- applying

    def apply(self) -> None:
        """Apply the network to the layer that was chosen for that, or to the pair."""
        if self._running is not None or self.model is None:
            self.panel.tell("A run is under way: press Stop first." if self._running else "")
            return
        target = self.network.target_layer
        pair = self._pair
        sources = (target,) if target is not None else pair
        why = next(filter(None, map(why_unsuitable, sources)), "")
        if why or (target is None and self._neighbours()):
            self.panel.refuse(why or ONE_LAYER)
            return
        first, last = sources[0], sources[-1]
        assert first is not None and last is not None  # else they are unsuitable
        extent = self.network.extent.currentData() if pixels_of(first).ndim > 2 else "all"
        name = f"{common_name(first.name, last.name)} denoised"
        source: Any = first if target is not None else pair
        if extent == "lazy":
            self.panel.start()
            self._shown = LazyRun(self.viewer.layers, source, self.model, name)
            self.panel.end("Each frame is denoised when it is shown.")
            return
        if extent == "zarr":
            path, _ = QFileDialog.getSaveFileName(
                self, "A folder for the movie", f"{name}.zarr", "zarr (*.zarr)", options=RESUMABLE
            )
            if path:
                path = path if path.endswith(".zarr") else f"{path}.zarr"
                self._start(ZarrRun(self.viewer.layers, source, self.model, path, name))
            return
        frame = frame_in_view(self.viewer.dims, first) if extent == "current" else ()
        self._start(LayerRun(self.viewer.layers, source, self.model, frame, name=name))

    def apply_to(self, layer: Image) -> None:
        """Apply the network to `layer`; of a movie, to all frames."""
        self.network.target.value = layer
        self.network.extent.setCurrentIndex(self.network.extent.findData("all"))
        self.apply()

    # -------------------------------------------------------------------- a run

    def _start(self, run: PairRun | LayerRun) -> None:
        job = Job(run.run, out_of_memory=OUT_OF_MEMORY)
        job.advanced.connect(functools.partial(self._advanced, run))
        job.warned.connect(self._warned)
        job.ended.connect(functools.partial(self._ended, run))
        self._running, self._notes = run, []
        self._started = time.perf_counter()
        self.panel.start()
        self._enable()
        self.runner.start(job)

    def _advanced(self, run: PairRun | LayerRun, steps: list[Step]) -> None:
        self.panel.advance(steps[-1])
        run.show(steps)
        if run.result is not None:
            self._shown = run
        if isinstance(run, PairRun):
            self.plot.add([step for step in steps if isinstance(step, TrainingStep)])
            self.panel.tell_gain(run.gain)
            if run.model is not None:
                self._keep(run)

    def _warned(self, message: str) -> None:
        if message not in self._notes and message not in [n.message for n in self.card.notes]:
            self._notes.append(message)
        self.panel.tell("\n".join(self._notes))

    def _ended(self, run: PairRun | LayerRun, job: Job) -> None:
        try:
            run.end()
        finally:
            self._running = None
        if job.outcome == "failed":
            self.panel.end("Failed.")
            self.panel.tell("\n".join([str(job.error), *self._notes]))
        elif run.result_removed:
            self.panel.end("Stopped: the result layer was removed.")
        elif job.outcome == "stopped" or not run.run.finished:
            kept = "the partial result is kept" if run.result else "there was no result yet"
            self.panel.end(f"Stopped: {kept}.")
        elif run.result is None:
            self.panel.end("Stopped: nothing was learnt yet.")
        else:
            took = duration(time.perf_counter() - self._started)
            self.panel.progress.setValue(self.panel.progress.maximum())
            told = f": {run.last.trained}" if isinstance(run, PairRun) and run.last else ""
            self.panel.end(f"Done in {took}{told}.")
        self._enable()

    def _keep(self, run: PairRun) -> None:
        """Make the network of `run` the one that Save, Continue and Apply mean."""
        if run.model is not None and run.model is not self.model:
            first = self.network.network is None
            self.network.keep(TrainedNetwork(run.model, run.scene, run=run))
            if first:
                self._enable()

    def _layer_removed(self, event: Any = None) -> None:
        if self._running is not None and self._running.result_removed:
            self.panel.stop()
            self.runner.stop()
        if self._shown is not None and self._shown.result_removed:
            self._shown = None
            if self._running is None:
                self.panel.clear()

    # ----------------------------------------------------------------- the network

    def _loaded(self) -> None:
        network = self.network.network
        assert network is not None  # it was just loaded
        self.plot.clear_curves()
        self.panel.clear()
        self.panel.tell_gain(network.gain)
        self._enable()

    def script(self) -> str:
        """Return the script that makes the shown result, or else what Train would make.

        Raises
        ------
        ValueError
            If the parameters of the form do not make sense together.
        """
        if isinstance(self._shown, PairRun):
            return self._shown.script()
        if self._shown is not None:
            network = self.network.network
            path = network.path if network and network.model is self._shown.run.engine else None
            return applying_script(path, self._shown.paths, self._shown.frame)
        first, second = self._pair
        frame: tuple[int, ...] = ()
        if self._is_stack() and not self.form.all_frames and first is not None:
            frame = frame_in_view(self.viewer.dims, first)
        neighbours = self._neighbours()
        paths = [file_of(first)] if neighbours else [file_of(first), file_of(second)]
        return training_script(self.form.parameters(), paths, frame, neighbours)

    # ---------------------------------------------------------------- the parts

    def _build(self) -> None:
        self.card = PairCard()
        self.card.register_asked.connect(self.register)
        self.form = Noise2NoiseForm(self.viewer.layers)
        for combo in (self.form.first_combo, self.form.second_combo):
            combo.changed.connect(self._pair_chosen)
            combo.native.activated.connect(self._chosen_by_hand)
        self.form.shift.dy.valueChanged.connect(self._data_changed)
        self.form.shift.dx.valueChanged.connect(self._data_changed)
        self.panel = TrainingPanel()
        self.panel.start_button.clicked.connect(self.train)
        self.panel.continue_button.clicked.connect(self.continue_training)
        self.panel.stop_button.clicked.connect(self.stop)
        self.plot = LossPlot()
        self.network = NetworkPanel(self.viewer.layers)
        self.network.loaded.connect(self._loaded)
        self.network.said.connect(self.panel.end)
        self.network.failed.connect(self.panel.tell)
        self.network.apply_button.clicked.connect(self.apply)
        self.network.target.changed.connect(self._enable)
        tooltip = "Copy the script that makes this result."
        self.copy_button = CopyButton(self.script, self.panel, tooltip)
        for part in (self.card, self.form, self.panel, self.plot, self.network, self.copy_button):
            self.parts.addWidget(part)
        self.parts.addStretch()

    def _enable(self, event: Any = None) -> None:
        running = self._running is not None
        ready = not (self._why_unsuitable() or self.card.refusal)
        self.panel.name_start(self.model is not None)
        self.panel.set_buttons(running, ready, self.model is not None)
        self.network.set_buttons(running)
        target = self.network.target_layer or self._pair[0]
        stack = target is not None and not target.rgb and pixels_of(target).ndim > 2
        self.network.form.show_field(self.network.extent, stack)
