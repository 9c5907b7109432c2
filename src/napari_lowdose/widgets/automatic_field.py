"""A number that may be left to the engine."""

from __future__ import annotations

from qtpy.QtWidgets import QDoubleSpinBox, QWidget


class AutomaticSpinBox(QDoubleSpinBox):
    """A spin box whose lowest position reads 'automatic'.

    Parameters
    ----------
    maximum : float
    step : float
        The lowest number; also the step of the arrows.
    decimals : int
        0 for integers.
    unit : str
        Shown after the number.
    parent : QWidget, optional
    """

    def __init__(
        self,
        *,
        maximum: float,
        step: float = 1,
        decimals: int = 0,
        unit: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setDecimals(decimals)
        self.setRange(0, maximum)
        self.setSingleStep(step)
        self.setSpecialValueText("automatic")
        if unit:
            self.setSuffix(f" {unit}")
        self.setKeyboardTracking(False)

    def number(self) -> float | None:
        """Return the number; None for automatic."""
        return float(self.value()) if self.value() > 0 else None
