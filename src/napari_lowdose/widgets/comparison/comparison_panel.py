"""The row 'Compare with' of a dock widget: two sets of settings side by side."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Protocol

from qtpy.QtWidgets import QMenu

from napari_lowdose.widgets.comparison.linked_pictures import LinkedPictures
from napari_lowdose.widgets.comparison.steps import comparison_steps
from napari_lowdose.widgets.menus import opened_widget
from napari_lowdose.widgets.result_layer import contrast_limits
from napari_lowdose.widgets.settings_in_words import what_differs
from napari_lowdose.widgets.side_task_panel import SideTaskPanel

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari.viewer
    from napari.layers import Image
    from qtpy.QtWidgets import QWidget

    from napari_lowdose.engine import Engine
    from napari_lowdose.widgets.comparison.part import Part
    from napari_lowdose.widgets.comparison.steps import ComparisonStep
    from napari_lowdose.widgets.jobs import Job
    from napari_lowdose.widgets.presets import Values

TITLE = "Compare settings"
TOOLTIP = (
    "<qt>Denoise the middle of what is in view, or of the drawn rectangle, with the settings above "
    "and with others, and show both side by side below the canvas. No layers are added.</qt>"
)
OUT_OF_MEMORY = "there is not enough memory to denoise this part of the image."
USE = "Use these settings"
RAW, HERE, OTHER = range(3)  # the pictures


class Settings(Protocol):
    """The settings of a form, and others by their names."""

    @property
    def now(self) -> Values:
        """The settings of the form."""

    def others(self) -> list[dict[str, Values]]:
        """Return the other settings, in groups."""

    def use(self, values: Values) -> None:
        """Fill in the form."""


class ComparisonPanel(SideTaskPanel):
    """A `SideTaskPanel` whose start button lists settings to compare with.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    settings : Settings
    part : callable
        Returns the `Part` to denoise now; raises ValueError if there is none.
    engine : callable
        Returns the engine for that part from values of the form; raises ValueError if they are
        invalid.
    parent : QWidget, optional

    Attributes
    ----------
    menu : QMenu
        The other settings.
    pictures : LinkedPictures or None
        The raw part, and its results with the settings of the form and with the others.  None
        before the first comparison.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        settings: Settings,
        part: Callable[[], Part],
        engine: Callable[[Values], Engine],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__("Compare with", TOOLTIP, parent)
        self._viewer, self._settings = viewer, settings
        self._part, self._engine = part, engine
        self._compared: list[Values] = []
        self._limits: tuple[float, float] | None = None
        self.menu = QMenu(self.start_button)
        self.menu.aboutToShow.connect(self._list_settings)
        self.start_button.setMenu(self.menu)
        self.stop_button.setToolTip("Stop.")
        self.stop_button.clicked.connect(self._stop)
        self.pictures: LinkedPictures | None = None

    def compare(self, name: str, values: Values) -> None:
        """Denoise with the settings of the form and with others, and show both.

        Parameters
        ----------
        name : str
            Of the others.
        values : dict
            The others.
        """
        compared = [self._settings.now, values]
        try:
            part = self._part()
            engines = [self._engine(each) for each in compared]
        except ValueError as error:
            self.show_refusal(str(error))
            return
        self.start()
        self._compared, self._limits = compared, None
        here, other = (engine.about()["parameters"] for engine in engines)
        titles = (part.layer.name, "settings of the form", name)
        captions = (part.place, what_differs(other, here), what_differs(here, other))
        if not any(captions[HERE:]):
            captions = (part.place, "the same settings", "the same settings")
        self.pictures = self._open_dock()
        self.pictures.show_texts(titles, captions)
        self.runner.run(
            comparison_steps(part.pixels, engines),
            functools.partial(self._show, self.pictures, part.layer),
            self._ended,
            self.warn,
            OUT_OF_MEMORY,
            title=TITLE,
        )

    def _list_settings(self) -> None:
        self.menu.clear()
        for group in self._settings.others():
            self.menu.addSeparator()
            for name, values in group.items():
                action = self.menu.addAction(name.replace("&", "&&"))
                assert action is not None  # a text makes one
                action.triggered.connect(functools.partial(self._chosen, name, values))

    def _chosen(self, name: str, values: Values, checked: bool = False) -> None:
        self.compare(name, values)

    def _open_dock(self) -> LinkedPictures:
        """Return the pictures, in a dock below the canvas; open it if necessary."""
        pictures: LinkedPictures | None = opened_widget(self._viewer, TITLE)
        if pictures is None:
            pictures = LinkedPictures(("", USE, USE))
            self._viewer.window.add_dock_widget(pictures, name=TITLE, area="bottom")
        dock: Any = pictures.parent()
        if pictures is not self.pictures:
            pictures.pressed.connect(self._use)
            # A function of Qt: one of Python may be gone before it is called.
            self.destroyed.connect(dock.hide)
        dock.show()
        dock.raise_()
        return pictures

    def _show(self, pictures: LinkedPictures, layer: Image, steps: list[ComparisonStep]) -> None:
        self.advance(steps[-1])
        for step in steps:
            if step.raw is not None:
                pictures.show_image(RAW, step.raw, layer, layer.contrast_limits)
                pictures.show_whole()
            if step.image is not None:
                # The same contrast for both, or one would look noisier than it is
                self._limits = self._limits or contrast_limits(step.image)
                pictures.show_image(HERE + step.number, step.image, layer, self._limits)

    def _ended(self, job: Job) -> None:
        if job.outcome == "failed":
            self.end("Failed.")
            self.show_message(str(job.error))
        else:
            self.end("Stopped." if job.outcome == "stopped" else "")

    def _use(self, position: int) -> None:
        if self.pictures is not None:
            self._settings.use(self._compared[position - HERE])
            self.end(f"The form has the settings of '{self.pictures.titles[position].text()}'.")

    def _stop(self) -> None:
        self.stop()
        self.runner.stop()
