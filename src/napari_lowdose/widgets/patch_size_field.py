"""The patch size: chosen by the engine, or a number of pixels."""

from __future__ import annotations

from typing import Literal

from qtpy.QtWidgets import QComboBox, QHBoxLayout, QSpinBox, QWidget

from napari_lowdose.reucid.patch_size import wide_patch

Mode = Literal["auto", "psf", "wide"]

LABELS: dict[Mode | None, str] = {
    "auto": "auto",  # short: it stands beside the number
    "psf": "PSF width",
    "wide": "wide",
    None: "fixed",
}


class PatchSizeField(QWidget):
    """How the patch size is chosen, beside its value in pixels.

    The value is filled in with the estimated PSF width, marked by '≈'; to edit it is to fix
    it.  For a wide patch it is the width that the engine would make of the estimate.  Where it is
    known what "auto" comes to, which is so for stacks of frames, that is shown without '≈'.

    Parameters
    ----------
    parent : QWidget, optional
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.mode = QComboBox()
        for mode, label in LABELS.items():
            self.mode.addItem(label, mode)
        self.pixels = QSpinBox()
        self.pixels.setRange(0, 999)
        self.pixels.setSingleStep(2)  # patches are odd
        self.pixels.setSuffix(" px")
        self.pixels.setSpecialValueText("…")  # no estimate yet
        self.pixels.setButtonSymbols(QSpinBox.ButtonSymbols.NoButtons)
        self.pixels.setFixedWidth(66)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.mode, 1)
        layout.addWidget(self.pixels)
        self.estimate: int | None = None
        """The estimated PSF width, pixels."""
        self.automatic: int | None = None
        """What "auto" comes to, pixels; None where it is not known."""
        self.mode.currentIndexChanged.connect(self._show)
        self.pixels.valueChanged.connect(self._edited)
        self._show()

    @property
    def value(self) -> Mode | int:
        """The engine's `patch_size`."""
        mode = self.mode.currentData()
        return int(self.pixels.value()) if mode is None else mode

    @value.setter
    def value(self, patch_size: Mode | int) -> None:
        if isinstance(patch_size, int):
            self.pixels.setValue(patch_size)
        mode = None if isinstance(patch_size, int) else patch_size
        self.mode.setCurrentIndex(self.mode.findData(mode))

    def set_estimate(self, psf_width: int | None, automatic: int | None = None) -> None:
        """Fill in the estimated PSF width, and what "auto" comes to, pixels.

        Parameters
        ----------
        psf_width, automatic : int or None
            None while they are not known.
        """
        self.estimate, self.automatic = psf_width, automatic
        self._show()

    def _show(self) -> None:
        mode, psf = self.mode.currentData(), self.estimate or 0
        fixed = mode is None
        wide = wide_patch(psf)
        self.pixels.blockSignals(True)
        known = mode == "auto" and self.automatic is not None
        self.pixels.setPrefix("" if fixed or known else "≈ ")
        if not fixed or self.pixels.value() == self.pixels.minimum():
            found = {"wide": wide if psf else 0, "auto": self.automatic or psf}
            self.pixels.setValue(found.get(mode, psf))
        # Without an estimate there is the tooltip of the whole field.
        self.pixels.setToolTip(f"PSF width ≈ {psf} px; wide uses {wide} px" if psf else "")
        self.pixels.blockSignals(False)

    def _edited(self) -> None:
        self.mode.blockSignals(True)
        self.mode.setCurrentIndex(self.mode.findData(None))
        self.mode.blockSignals(False)
        self._show()
