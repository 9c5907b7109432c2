"""Settings of a form that are remembered between sessions, and presets with names.

napari's own settings of plugins are a fixed list of fields that it shows in its preferences, not
presets whose names people choose: these are in a JSON file beside them.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.settings import get_settings
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QInputDialog,
    QMenu,
    QSpinBox,
    QToolButton,
    QWidget,
)

from napari_lowdose.io.atomic import atomic_write

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

logger = logging.getLogger(__name__)

AS_SET, DEFAULTS = "as set", "defaults"
LAST = ""  # key of the last settings among the presets
PRESETS_HELP = (
    "<qt>The settings are remembered for the next session. Keep them under a name, or go back to "
    "the defaults.</qt>"
)
DELAY = 300  # milliseconds from the last change to saving

Values = dict[str, Any]


def settings_file() -> Path | None:
    """Return the file of all presets, beside the settings of napari; None if it keeps none."""
    path = get_settings().config_path
    return None if path is None else Path(path).parent / "napari-lowdose.json"


def form_fields(form: QWidget, without: Sequence[str] = ()) -> Iterator[tuple[str, Any]]:
    """Yield the fields of a form that hold a value, with their names.

    Parameters
    ----------
    form : QWidget
        Its attributes are the fields.  One that has a property `value`, or is a choice, a number
        or a check box, is a single field; others are searched for fields.
    without : sequence of str
        Names to leave out.

    Yields
    ------
    name : str
        Names of attributes, joined by dots.
    field : QWidget
    """
    for name, field in vars(form).items():
        if name in without or name.startswith("_") or not isinstance(field, QWidget):
            continue
        if _is_field(field):
            yield name, field
        else:
            for inner, each in form_fields(field):
                yield f"{name}.{inner}", each


def form_values(form: QWidget, without: Sequence[str] = ()) -> Values:
    """Return the values of the fields of a form, JSON-ready."""
    return {name: _value(field) for name, field in form_fields(form, without)}


def fill_form(form: QWidget, values: Values, without: Sequence[str] = ()) -> None:
    """Set the fields of a form; values that it does not know, or cannot hold, are left out."""
    for name, field in form_fields(form, without):
        if name in values:
            try:
                _set_value(field, values[name])
            except (TypeError, ValueError, OverflowError) as error:  # of another version, or edited
                logger.info("the remembered value of %s is not used: %s", name, error)


class PresetField(QWidget):
    """Restores the last settings of a form, and offers presets with names.

    Parameters
    ----------
    form : QWidget
        With its defaults.
    name : str
        Key of the form in the file.
    without : sequence of str
        Fields that belong to an image rather than to the settings.
    flags : sequence of str
        Further attributes of the form to keep.
    parent : QWidget, optional
    """

    def __init__(
        self,
        form: QWidget,
        name: str,
        without: Sequence[str] = (),
        flags: Sequence[str] = (),
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._form, self._name, self._without, self._flags = form, name, without, flags
        self._defaults = self.read(form)
        self.combo = QComboBox()
        self.combo.setToolTip(PRESETS_HELP)
        self.combo.activated.connect(lambda _: self.choose(self.combo.currentText()))
        self.button = QToolButton()
        self.button.setText("…")
        self.button.setStyleSheet("QToolButton::menu-indicator { image: none; }")
        self.button.setToolTip("Keep, or delete, settings under a name.")
        self.button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self.button)
        menu.addAction("Keep as …", self._ask_name)
        self._delete = menu.addAction("Delete", self.delete)
        menu.addAction("Back to defaults", lambda: self.choose(DEFAULTS))
        menu.aboutToShow.connect(self._enable_delete)
        self.button.setMenu(menu)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.combo, 1)
        layout.addWidget(self.button)
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(DELAY)
        self._later.setObjectName("settle")
        self._later.timeout.connect(self._remember)
        self._filling = False
        self._show_names(AS_SET)
        self.fill(form, _load().get(name, {}).get(LAST, {}))
        for _, field in form_fields(form, without):
            for part in (field, *field.findChildren(QWidget)):
                for signal in ("valueChanged", "currentIndexChanged", "toggled", "textChanged"):
                    if hasattr(part, signal):
                        getattr(part, signal).connect(self._changed)

    @property
    def names(self) -> list[str]:
        """The names of the presets."""
        return sorted(key for key in _load().get(self._name, {}) if key != LAST)

    def values(self, preset: str) -> Values:
        """Return the values of a preset, or the defaults."""
        kept = _load().get(self._name, {})
        return self._defaults if preset == DEFAULTS else kept.get(preset, {})

    def read(self, form: QWidget) -> Values:
        """Return the values of the form, or of another one of its kind."""
        flags = {name: getattr(form, name) for name in self._flags}
        return form_values(form, self._without) | flags

    def fill(self, form: QWidget, values: Values) -> None:
        """Fill in the form, or another one of its kind."""
        self._filling = True
        fill_form(form, values, self._without)
        for name in self._flags:  # afterwards: filling in changes them
            if name in values:
                setattr(form, name, values[name])
        self._filling = False

    def use(self, values: Values) -> None:
        """Fill in the form, as a user does."""
        self.fill(self._form, values)
        self.combo.setCurrentText(AS_SET)
        self._later.start()

    def keep(self, preset: str) -> None:
        """Keep the settings of the form under a name, in place of those of that name before.

        Raises
        ------
        ValueError
            If the name is taken by one that cannot be replaced.
        """
        if preset.strip() in ("", AS_SET, DEFAULTS):
            raise ValueError(f"choose another name than '{preset}'.")
        self._save(preset.strip(), self.read(self._form))
        self._show_names(preset.strip())

    def choose(self, preset: str) -> None:
        """Fill in the form from a preset, or with its defaults."""
        if preset != AS_SET:
            self.fill(self._form, self.values(preset))
            self._show_names(preset)
            self._later.start()

    def delete(self) -> None:
        """Delete the preset that is shown."""
        self._save(self.combo.currentText(), None)
        self._show_names(AS_SET)

    def _changed(self, value: Any = None) -> None:
        if not self._filling:
            self.combo.setCurrentIndex(0)
            self._later.start()

    def _remember(self) -> None:
        self._save(LAST, self.read(self._form))

    def _save(self, preset: str, values: Values | None) -> None:
        kept = _load()
        mine = kept.setdefault(self._name, {})
        if values is None:
            mine.pop(preset, None)
        else:
            mine[preset] = values
        _store(kept)

    def _show_names(self, shown: str) -> None:
        self.combo.clear()
        self.combo.addItems([AS_SET, DEFAULTS, *self.names])
        self.combo.setCurrentText(shown)

    def _enable_delete(self) -> None:
        if self._delete is not None:
            self._delete.setEnabled(self.combo.currentIndex() > 1)

    def _ask_name(self) -> None:
        name, sure = QInputDialog.getText(self, "Keep settings", "Name:")
        if sure and name.strip() not in ("", AS_SET, DEFAULTS):
            self.keep(name)


def _load() -> dict[str, dict[str, Values]]:
    path = settings_file()
    try:
        found = json.loads(path.read_text("utf-8")) if path is not None else {}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:  # edited by hand, or half of a disk
        logger.info("the remembered settings cannot be read: %s", error)
        return {}
    whole = isinstance(found, dict) and all(isinstance(each, dict) for each in found.values())
    return found if whole else {}


def _store(kept: dict[str, dict[str, Values]]) -> None:
    path = settings_file()
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write(json.dumps(kept, indent=1).encode())
    except OSError as error:  # settings are no reason to disturb anybody
        logger.info("the settings cannot be remembered: %s", error)


def _is_field(field: QWidget) -> bool:
    kinds = QComboBox | QSpinBox | QDoubleSpinBox | QCheckBox
    return isinstance(field, kinds) or _has_value(field)


def _has_value(field: QWidget) -> bool:
    """Whether a field has a property `value` that can be set."""
    return getattr(getattr(type(field), "value", None), "fset", None) is not None


def _value(field: Any) -> Any:
    if _has_value(field):  # before its kind: a choice may offer more than its items
        return field.value
    if isinstance(field, QComboBox):
        data = field.currentData()
        return field.currentText() if data is None else data
    if isinstance(field, QCheckBox):
        return field.isChecked()
    return field.value()


def _set_value(field: Any, value: Any) -> None:
    if _has_value(field):
        field.value = value
    elif isinstance(field, QComboBox):
        index = field.findData(value)
        if index < 0:
            index = field.findText(str(value))
        if index >= 0:
            field.setCurrentIndex(index)
        elif field.isEditable():
            field.setEditText(str(value))
    elif isinstance(field, QCheckBox):
        field.setChecked(bool(value))
    else:
        field.setValue(int(value) if isinstance(field, QSpinBox) else float(value))
