"""Other settings of REUCID than those of the form, to compare with."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from napari_lowdose.reucid import Reucid
from napari_lowdose.widgets.presets import DEFAULTS
from napari_lowdose.widgets.reucid.form import ReucidForm
from napari_lowdose.widgets.settings_in_words import STRENGTHS

if TYPE_CHECKING:
    from napari_lowdose.widgets.presets import PresetField, Values
    from napari_lowdose.widgets.reucid.run import RunHistory


class Alternatives:
    """The settings of the form, and others by their names.

    Parameters
    ----------
    form : ReucidForm
    presets : PresetField
        Of the form.
    history : RunHistory
        Earlier results.
    """

    def __init__(self, form: ReucidForm, presets: PresetField, history: RunHistory) -> None:
        self._form, self._presets, self._history = form, presets, history

    @cached_property
    def _spare(self) -> ReucidForm:
        """A form that is never shown: it checks and converts as the form does."""
        return ReucidForm(())

    @property
    def now(self) -> Values:
        """The settings of the form."""
        return self._presets.read(self._form)

    def others(self) -> list[dict[str, Values]]:
        """Return the other settings, in groups: strengths, presets and earlier results."""
        now = self.now
        strengths = {name: now | {"strength": name} for name in STRENGTHS}
        del strengths[self._form.strength.currentData()]
        presets = {name: self._presets.values(name) for name in (DEFAULTS, *self._presets.names)}
        earlier = {}
        for run in reversed(self._history.runs):
            if run.result is not None and isinstance(run.requested, Reucid):
                self._spare.recall(run.requested, run.stacks_chosen, False, False)
                earlier[run.result.name] = self._presets.read(self._spare)
        return [strengths, presets, earlier]

    def engine(self, values: Values) -> Reucid:
        """Return the engine with some settings.

        Raises
        ------
        ValueError
            If they are invalid.
        """
        self._presets.fill(self._spare, self.now | values)
        engine = self._spare.parameters()
        # One stack is faster, with practically the same result
        return engine if self._spare.stacks_chosen else replace(engine, n_stacks=None)

    def use(self, values: Values) -> None:
        """Fill in the form."""
        self._presets.use(values)
