"""A form whose fields keep a narrow dock narrow, and leave the mouse wheel to the scroll area."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QAbstractSpinBox, QComboBox, QFormLayout, QSizePolicy, QWidget


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
                each.setFocusPolicy(Qt.FocusPolicy.StrongFocus)  # not by the wheel
                each.installEventFilter(self)
        self._layout.addRow(label, field)
        if (name := self._layout.labelForField(field)) is not None:
            name.setToolTip(tooltip)

    def show_field(self, field: QWidget, shown: bool) -> None:
        """Offer a field, or hide it and its label."""
        self._layout.setRowVisible(field, shown)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Leave the mouse wheel to the scroll area, unless the field was clicked on before."""
        if event is None or event.type() != QEvent.Type.Wheel:
            return False
        field = watched if isinstance(watched, QWidget) else self
        event.setAccepted(field.hasFocus())
        return not field.hasFocus()
