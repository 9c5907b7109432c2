"""Train, Continue, Stop, and how good the network is by now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_lowdose.noise2noise import TrainingStep
from napari_lowdose.widgets.gain_in_words import gain_in_words
from napari_lowdose.widgets.run_panel import RunPanel, text_label

if TYPE_CHECKING:
    from napari_lowdose.engine import Step


class TrainingPanel(RunPanel):
    """A `RunPanel` with Continue, and a line on the gain.

    Parameters
    ----------
    parent : QWidget, optional
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Train", "", parent)
        self.gain = text_label()
        self.continue_button = QPushButton("Continue")
        self.continue_button.setToolTip(
            "<qt>Train the network below further, where the pair chosen above is the one that it "
            "was trained on.</qt>"
        )
        self.stop_button.setToolTip(
            "<qt>End the training: the best network so far is kept, and makes the result. "
            "While a network is applied: keep the frames that are done.</qt>"
        )
        self.buttons.insertWidget(1, self.continue_button, 2)
        layout = self.layout()
        assert isinstance(layout, QVBoxLayout)
        layout.insertWidget(layout.indexOf(self._box), self.gain)
        self.status.setMinimumHeight(2 * self.status.fontMetrics().lineSpacing())  # and no jumps
        self.status.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.name_start(False)
        self.tell_gain(None)

    def clear(self) -> None:
        """Show nothing."""
        super().clear()
        self.tell_gain(None)

    def advance(self, step: Step) -> None:
        """Show how far training or denoising has come."""
        super().advance(step)
        if isinstance(step, TrainingStep) and not self.stopping and step.device:
            self.status.setText(f"{self.status.text()}\n{step.device}")

    def tell_gain(self, gain: tuple[float, float] | None) -> None:
        """Show the gain over one exposure; nothing as long as it is not known."""
        told = gain_in_words(gain)
        self.gain.setText(f"Estimated: {told}." if told else "")
        self.gain.setVisible(bool(told))
        self.gain.setToolTip(
            "<qt>95 % interval of the gain in PSNR, measured on tiles of the pair that training "
            "never sees; no clean image is needed for it.</qt>"
        )

    def name_start(self, has_network: bool) -> None:
        """Say that Train begins anew where there is a network that could be continued."""
        self.start_button.setText("Train anew" if has_network else "Train")
        self.start_button.setToolTip(
            "<qt>Train a new network on the pair; the result is a new layer, which improves "
            "as it trains.</qt>"
        )

    def set_buttons(self, running: bool, ready: bool, can_continue: bool) -> None:
        """Enable what can be pressed."""
        self.set_running(running, ready)
        self.continue_button.setEnabled(ready and can_continue and not running)
