"""Form fields, and the form that holds them."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Literal

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QSizePolicy,
    QSpinBox,
    QWidget,
)

from napari_lowdose.parameters import parameter_help
from napari_lowdose.reucid.patch_size import wide_patch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_lowdose.engine import Engine


class ParameterForm(QWidget):
    """Labels on the left, fields on the right.

    Parameters
    ----------
    parent : QWidget, optional
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._layout = QFormLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setVerticalSpacing(4)
        self._layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)

    def add(self, label: str, field: QWidget, tooltip: str) -> None:
        """Add a field below the others."""
        # Long layer names must not make the dock wider.
        field.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        field.setMinimumWidth(140)
        field.setToolTip(tooltip)
        for each in (field, *field.findChildren(QWidget)):
            if isinstance(each, QAbstractSpinBox | QComboBox):
                each.setFocusPolicy(Qt.FocusPolicy.StrongFocus)  # no focus by the wheel
                each.installEventFilter(self)
        self._layout.addRow(label, field)
        if (name := self._layout.labelForField(field)) is not None:
            name.setToolTip(tooltip)

    def show_field(self, field: QWidget, shown: bool) -> None:
        """Show or hide a field and its label."""
        self._layout.setRowVisible(field, shown)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Leave the mouse wheel to the scroll area, unless the field has the focus."""
        if event is None or event.type() != QEvent.Type.Wheel:
            return False
        field = watched if isinstance(watched, QWidget) else self
        event.setAccepted(field.hasFocus())
        return not field.hasFocus()


class AutomaticSpinBox(QDoubleSpinBox):
    """A spin box whose lowest position reads 'automatic'.

    Parameters
    ----------
    maximum : float
    step : float
        The smallest number, and the step of the arrows.
    decimals : int
        0 for integers.
    unit : str
        Suffix of the number.
    """

    def __init__(
        self, *, maximum: float, step: float = 1, decimals: int = 0, unit: str = ""
    ) -> None:
        super().__init__()
        self.setDecimals(decimals)
        self.setRange(0, maximum)
        self.setSingleStep(step)
        self.setSpecialValueText("automatic")
        if unit:
            self.setSuffix(f" {unit}")
        self.setKeyboardTracking(False)  # no signals for half-typed numbers

    def number(self) -> float | None:
        """Return the number; None for automatic."""
        return float(self.value()) if self.value() > 0 else None


# The engine refuses more: exposures are cut at whole pixels first, as `register_pair` does.
LARGEST_SHIFT = 1.0  # pixels


class ShiftField(QWidget):
    """A shift between two exposures, (dy, dx) in pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.dy, self.dx = _pixels("y "), _pixels("x ")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.dy)
        layout.addWidget(self.dx)

    @property
    def value(self) -> tuple[float, float]:
        """(dy, dx), pixels."""
        return float(self.dy.value()), float(self.dx.value())

    @value.setter
    def value(self, shift: tuple[float, float]) -> None:
        self.dy.setValue(shift[0])
        self.dx.setValue(shift[1])


def _pixels(prefix: str) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setRange(-LARGEST_SHIFT, LARGEST_SHIFT)
    box.setDecimals(3)
    box.setSingleStep(0.1)
    box.setPrefix(prefix)
    box.setSuffix(" px")
    box.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
    box.setKeyboardTracking(False)
    return box


Criterion = Literal["quality", "time", "epochs"]

DEFAULT_SECONDS = 30
DEFAULT_EPOCHS = 100


class StopField(QWidget):
    """Criterion that ends a training: a plateau, a time, or a number of epochs."""

    def __init__(self) -> None:
        super().__init__()
        self.criterion = choice({"quality": "quality", "time": "time", "epochs": "epochs"})
        self.seconds = _number(DEFAULT_SECONDS, " s", 24 * 3600)
        self.epochs = _number(DEFAULT_EPOCHS, "", 10**6)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.criterion, 1)
        layout.addWidget(self.seconds, 1)
        layout.addWidget(self.epochs, 1)
        self.criterion.currentIndexChanged.connect(self._show)
        self._show()

    @property
    def value(self) -> dict[str, Any]:
        """The engine's `epochs` and `time_budget`."""
        by: Criterion = self.criterion.currentData()
        return {
            "epochs": float(self.epochs.value()) if by == "epochs" else None,
            "time_budget": float(self.seconds.value()) if by == "time" else None,
        }

    def choose(self, criterion: Criterion, number: float | None = None) -> None:
        """Set the criterion, and its number."""
        self.criterion.setCurrentIndex(self.criterion.findData(criterion))
        if number is not None:
            (self.seconds if criterion == "time" else self.epochs).setValue(round(number))

    def _show(self) -> None:
        self.seconds.setVisible(self.criterion.currentData() == "time")
        self.epochs.setVisible(self.criterion.currentData() == "epochs")


def _number(value: int, unit: str, maximum: int) -> QSpinBox:
    box = QSpinBox()
    box.setRange(1, maximum)
    box.setValue(value)
    box.setSuffix(unit)
    box.setKeyboardTracking(False)
    return box


Mode = Literal["auto", "psf", "wide"]

LABELS: dict[Mode | None, str] = {
    "auto": "auto",  # short, as the number is beside it
    "psf": "PSF width",
    "wide": "wide",
    None: "fixed",
}


class PatchSizeField(QWidget):
    """The mode of choosing the patch size, and the size in pixels.

    The field shows the estimated PSF width, marked by '≈', or the wide patch that follows from
    it.  Editing the number fixes the patch size.  For stacks of frames, the automatic patch size
    is shown without '≈' once it is known.
    """

    def __init__(self) -> None:
        super().__init__()
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
        """The automatic patch size, pixels; None if unknown."""
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
        """Show the estimated PSF width and the automatic patch size.

        Parameters
        ----------
        psf_width, automatic : int or None
            Pixels; None if unknown.
        """
        self.estimate, self.automatic = psf_width, automatic
        self._show()

    def _show(self) -> None:
        mode, psf = self.mode.currentData(), self.estimate or 0
        fixed = mode is None
        wide = wide_patch(psf)
        # Blocked: a number that is set here must not switch the mode to "fixed".
        self.pixels.blockSignals(True)
        known = mode == "auto" and self.automatic is not None
        self.pixels.setPrefix("" if fixed or known else "≈ ")
        if not fixed or self.pixels.value() == self.pixels.minimum():
            found = {"wide": wide if psf else 0, "auto": self.automatic or psf}
            self.pixels.setValue(found.get(mode, psf))
        # Without an estimate, Qt shows the tooltip of the whole field.
        self.pixels.setToolTip(f"PSF width ≈ {psf} px; wide uses {wide} px" if psf else "")
        self.pixels.blockSignals(False)

    def _edited(self) -> None:
        self.mode.blockSignals(True)
        self.mode.setCurrentIndex(self.mode.findData(None))
        self.mode.blockSignals(False)
        self._show()


LARGEST_SEED = 2**31 - 1  # of a Qt spin box


def seed_field() -> QSpinBox:
    """Return a field for the seed of an engine."""
    box = QSpinBox()
    box.setRange(0, LARGEST_SEED)
    return box


def frames_choice() -> QComboBox:
    """Return a choice of the frames to denoise; its value is True for all of them."""
    return choice({"current frame": False, "all frames": True})


def parameter_tooltips(engine_class: type[Engine]) -> dict[str, str]:
    """Return a tooltip for each parameter of an engine, from its docstring."""
    # As rich text, which Qt wraps to a readable width.
    return {
        name: f"<qt>{escape(text, quote=False)}</qt>"
        for name, text in parameter_help(engine_class).items()
    }


def choice(items: Mapping[str, Any]) -> QComboBox:
    """Return a combo box whose items are labels with values, its `currentData`."""
    box = QComboBox()
    for label, value in items.items():
        box.addItem(label, value)
    return box
