"""Train, Continue and Stop, the expected gain, and the loss curves."""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QPushButton, QVBoxLayout

from napari_lowdose.noise2noise import TrainingStep
from napari_lowdose.widgets.run_panel import RunPanel, text_label
from napari_lowdose.widgets.themed_plot import ThemedPlot

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from napari_lowdose.engine import Step
    from napari_lowdose.noise2noise.evaluation.told_gain import ToldGain


EXPOSURE, IMAGE = "one exposure", "the image"  # what a gain is told over


class TrainingPanel(RunPanel):
    """A `RunPanel` with a Continue button and a line for the gain."""

    def __init__(self) -> None:
        super().__init__("Train", "")
        self.gain = text_label()
        self.continue_button = QPushButton("Continue")
        self.continue_button.setToolTip(
            "<qt>Continue training the network below, on the pair that it was trained on.</qt>"
        )
        self.stop_button.setToolTip(
            "<qt>During training: stop, and denoise with the best network so far. "
            "While a network is applied: stop, and keep the finished frames.</qt>"
        )
        self.buttons.insertWidget(1, self.continue_button, 2)
        layout = self.layout()
        assert isinstance(layout, QVBoxLayout)
        layout.insertWidget(layout.indexOf(self._box), self.gain)
        self.status.setMinimumHeight(2 * self.status.fontMetrics().lineSpacing())  # avoids jumps
        self.status.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.label_start_button(False)
        self.show_gain(None)

    def clear(self) -> None:
        """Remove all messages."""
        super().clear()
        self.show_gain(None)

    def advance(self, step: Step) -> None:
        """Show the progress of training or denoising."""
        super().advance(step)
        if isinstance(step, TrainingStep) and not self.stopping and step.device:
            self.status.setText(f"{self.status.text()}\n{step.device}")

    def show_gain(self, gain: ToldGain | None, over: str = EXPOSURE, instead: str = "") -> None:
        """Show the gain; nothing while it is unknown.

        Parameters
        ----------
        gain : ToldGain or None
        over : str
            What it is better than.
        instead : str
            Name of a method that is better than the network.
        """
        method = f", by {instead}: the network is not better yet" if instead else ""
        text = describe_gain(gain, over, method)
        self.gain.setText(f"Estimated: {text}." if text else "")
        self.gain.setVisible(bool(text))
        self.gain.setToolTip(
            "<qt>95 % confidence interval of the PSNR gain, measured on held-out tiles of the "
            "pair; no clean image is needed.</qt>"
        )

    def label_start_button(self, has_network: bool) -> None:
        """Label the start button: Train, or Train anew if a network exists."""
        self.start_button.setText("Train anew" if has_network else "Train")
        self.start_button.setToolTip(
            "<qt>Train a new network on the pair. The result is a new layer that improves during "
            "training.</qt>"
        )

    def set_buttons(self, running: bool, ready: bool, can_continue: bool) -> None:
        """Enable the buttons that can be pressed."""
        self.set_running(running, ready)
        self.continue_button.setEnabled(ready and can_continue and not running)


def describe_gain(gain: ToldGain | None, over: str = EXPOSURE, method: str = "") -> str:
    """Return the gain as text; empty while it is unknown.

    Parameters
    ----------
    gain : ToldGain or None
    over : str
        What it is better than.
    method : str
        What follows the gain, if the result is not by the network.

    Examples
    --------
    >>> from napari_lowdose.noise2noise.evaluation.gain_interval import GainInterval
    >>> from napari_lowdose.noise2noise.evaluation.told_gain import ToldGain
    >>> good, bad = GainInterval(9.81, 10.63), GainInterval(-1.2, 0.4)
    >>> describe_gain(ToldGain((good,)))
    '9.8 to 10.6 dB better than one exposure'
    >>> describe_gain(ToldGain((GainInterval(17.2, float("inf")),)))
    'at least 17 dB better than one exposure'
    >>> describe_gain(ToldGain((bad,)))
    'no better than one exposure so far (-1.2 to 0.4 dB)'
    >>> describe_gain(ToldGain((good, bad)))
    'better than one exposure: channel 1: 9.8 to 10.6 dB, channel 2: -1.2 to 0.4 dB'
    >>> describe_gain(ToldGain((good,), "the noise is correlated"))
    'about 10 dB better than one exposure; cannot be trusted: the noise is correlated'
    """
    if gain is None or not gain.amount:
        return ""
    if len(gain.channels) > 1:
        text = f"better than {over}: {gain.amount}"
    elif gain.least.low <= 0:
        text = f"no better than {over} so far ({gain.amount})"
    else:
        text = f"{gain.amount} better than {over}"
    return f"{text}{method}{gain.reservation}"


TRAINING = QColor("#8a8f98")
VALIDATION = QColor("#2fbf71")
LEGEND = (
    f'<span style="color:{TRAINING.name()}">training</span> &nbsp; '
    f'<span style="color:{VALIDATION.name()}">held out</span>'
)
HEIGHT = 150  # pixels


class LossPlot(ThemedPlot):
    """Training and validation loss against epochs.

    The loss falls most in the first epochs; the scale is chosen for the later ones.
    """

    def __init__(self) -> None:
        super().__init__(HEIGHT)
        self.setLabel("left", "loss, 1 − r")
        self.setLabel("bottom", "epoch")
        self.setToolTip(
            "<qt>1 − Pearson correlation of the network's output with the partner, Eq. (4) of the "
            "paper. The partner's own noise keeps it above 0. Green: loss on held-out tiles of the "
            "pair; once it stops falling, further training does not help.</qt>"
        )
        self.setTitle(LEGEND, size="8pt")  # a legend would cover the curves
        self._loss = self.plot(pen=pg.mkPen(TRAINING, width=1))
        self._loss.setDownsampling(auto=True, method="mean")  # a long training has many points
        self._validation = self.plot(
            pen=pg.mkPen(VALIDATION, width=2, cosmetic=True), symbolBrush=VALIDATION
        )
        self._best = pg.InfiniteLine(
            angle=90, pen=pg.mkPen(VALIDATION, width=1, style=Qt.PenStyle.DashLine)
        )
        self.addItem(self._best, ignoreBounds=True)
        self.setLimits(xMin=0)
        self.clear_curves()

    def sizeHint(self) -> QSize:
        """Return a width that fits into a narrow dock."""
        return QSize(300, HEIGHT)

    def clear_curves(self) -> None:
        """Remove the curves."""
        self._epochs, self._losses = array("d"), array("d")
        self._held_out_epochs, self._held_out_losses = array("d"), array("d")
        self._draw()

    def add(self, steps: Iterable[TrainingStep]) -> None:
        """Add the losses of training steps."""
        for step in steps:
            if math.isfinite(step.loss):
                self._epochs.append(step.epoch)
                self._losses.append(step.loss)
            if step.validation_loss is not None and math.isfinite(step.validation_loss):
                self._held_out_epochs.append(step.epoch)
                self._held_out_losses.append(step.validation_loss)
        self._draw()

    def _draw(self) -> None:
        # Copies: an array whose memory is in use elsewhere cannot grow.
        losses, held_out = np.array(self._losses), np.array(self._held_out_losses)
        held_out_epochs = np.array(self._held_out_epochs)
        self.setVisible(len(losses) > 1)
        self._loss.setData(np.array(self._epochs), losses)
        dot = "o" if len(held_out) == 1 else None  # one point is no line
        self._validation.setData(held_out_epochs, held_out, symbol=dot, symbolSize=5)
        self._best.setVisible(len(held_out) > 0)
        if len(held_out):
            self._best.setValue(held_out_epochs[held_out.argmin()])
        self._scale(np.concatenate([losses, held_out]))

    def _scale(self, values: NDArray[np.float64]) -> None:
        """Show the range of the later epochs; the first ones start far above it."""
        if len(values) < 2:
            return
        low, high = float(values.min()), float(values.max())
        # The second half of the values fills half of the plot
        top = min(high, low + 4 * max(float(np.median(values)) - low, 0.01))
        margin = 0.08 * (top - low or low or 1.0)
        self.setYRange(low - margin, top + margin, padding=0)
