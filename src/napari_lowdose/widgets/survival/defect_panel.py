"""The row 'Plant a defect' of a dock widget: clicks on sites, and what survives there."""

from __future__ import annotations

import functools
from collections import deque
from typing import TYPE_CHECKING, Any

from napari_lowdose.widgets.fields import choice
from napari_lowdose.widgets.side_task_panel import SideTaskPanel
from napari_lowdose.widgets.survival.click_mode import ClickMode
from napari_lowdose.widgets.survival.planted_sites import PlantedSites

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari.viewer
    from qtpy.QtGui import QHideEvent
    from qtpy.QtWidgets import QWidget

    from napari_lowdose.widgets.jobs import Job
    from napari_lowdose.widgets.survival.planted_sites import Mark, Subject

CONTRASTS = {"halve its contrast": -0.5, "remove it": -1.0, "add half of it": 0.5}
TOOLTIP = (
    "<qt>Does a defect in your image survive denoising? Press, and click on a site, such as an "
    "atom: its contrast is changed in the raw image, with the noise that belongs to the change, "
    "and the image is denoised again. The number at the site is the share of the change that is "
    "left: 1 is all of it. Press again, or Esc, to end.</qt>"
)
CONTRAST_HELP = (
    "<qt>Change of the site, as a fraction of its contrast to the surroundings. Sites that are "
    "darker than their surroundings can be changed as well.</qt>"
)
OUT_OF_MEMORY = "there is not enough memory to denoise this image."
STOPPED = "Stopped."


class DefectPanel(SideTaskPanel):
    """A `SideTaskPanel` whose start button switches clicking on or off.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    subject : callable
        Returns the `Subject` that a click would change now; raises ValueError if there is none.
    parent : QWidget, optional

    Attributes
    ----------
    mode : ClickMode
    sites : PlantedSites or None
        The sites clicked on since the mode was entered, if they are of the same kind.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        subject: Callable[[], Subject],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__("Plant a defect", TOOLTIP, parent)
        self._layers, self._subject = viewer.layers, subject
        self.mode = ClickMode(viewer, self)
        self.sites: PlantedSites | None = None
        self._entered: Subject | None = None
        self._waiting: deque[tuple[PlantedSites, Mark]] = deque()
        self._status = STOPPED  # if the work is stopped
        self.contrast = choice(CONTRASTS)
        self.contrast.setToolTip(CONTRAST_HELP)
        self.buttons.insertWidget(1, self.contrast, 2)
        self.start_button.setCheckable(True)
        self.start_button.toggled.connect(self._toggled)
        self.stop_button.setToolTip("Stop, and keep the sites that are measured.")
        self.stop_button.clicked.connect(functools.partial(self.cancel, STOPPED))
        self.mode.clicked.connect(self._clicked)
        self.mode.left.connect(self._left)

        removed = viewer.layers.events.removed
        removed.connect(self._layer_removed)
        # The viewer outlives this panel and must not call into it.
        self.destroyed.connect(lambda: removed.disconnect(self._layer_removed))

    def cancel(self, status: str) -> None:
        """Stop the work; the sites that are measured stay.

        Parameters
        ----------
        status : str
            Shown when it has stopped.
        """
        while self._waiting:
            sites, mark = self._waiting.pop()
            sites.drop(mark)
        self._status = status
        if self.runner.busy:
            self.stop()
            self.runner.stop()
        else:
            self.end(status)

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Leave the mode: nobody could see that it is on."""
        self.mode.leave()
        super().hideEvent(event)

    # --------------------------------------------------------------- the clicks

    def _toggled(self, on: bool) -> None:
        if not on:
            self.mode.leave()
            return
        self.sites = None
        try:
            self._entered = self._subject()
        except ValueError as error:
            self.show_refusal(str(error))
            self.start_button.setChecked(False)
            return
        self.clear()
        self.end(
            f"Click on a site of '{self._entered.layer.name}', such as an atom. It is changed, and "
            f"denoised {self._entered.how}. Several sites give a mean. Esc ends."
        )
        self.mode.enter()

    def _left(self) -> None:
        self.start_button.setChecked(False)
        if self.sites is None and not self.runner.busy:
            self.clear()  # the invitation to click

    def _clicked(self, position: tuple[float, ...]) -> None:
        contrast = float(self.contrast.currentData())
        try:
            subject = self._subject()
            pixel = subject.pixel_at(position)
        except ValueError as error:
            self.show_message(str(error))
            return
        self.show_message("")
        if self.sites is None or not self.sites.are_of(subject, contrast):
            self.sites = PlantedSites(self._layers, subject, contrast)
        self._waiting.append((self.sites, self.sites.add(pixel)))
        self._measure_next()

    def _layer_removed(self, event: Any = None) -> None:
        entered, sites, status = self._entered, self.sites, ""
        if sites is not None and sites.layer not in self._layers:
            self.sites, status = None, "Stopped: the layer of the sites was removed."
        if entered is not None and entered.layer not in self._layers:
            self._entered = self.sites = None
            status = f"Stopped: '{entered.layer.name}' was removed."
        if not status:
            return
        if self.runner.busy:
            self.cancel(status)
        else:
            self.clear()
        if self._entered is None and self.mode.active:
            self.mode.leave()
            self.end(status)

    # ----------------------------------------------------------------- the work

    def _measure_next(self) -> None:
        if self._waiting and not self.runner.busy:
            sites, mark = self._waiting.popleft()
            self.stopping, self._status = False, STOPPED
            self.runner.run(
                sites.steps(mark),
                lambda steps: self.advance(steps[-1]),
                functools.partial(self._measured, sites, mark),
                self.warn,
                OUT_OF_MEMORY,
            )

    def _measured(self, sites: PlantedSites, mark: Mark, job: Job) -> None:
        if job.outcome == "done":
            sites.show_result(mark)
        else:
            sites.drop(mark)
        found = sites.result
        lines = [str(job.error)] if job.outcome == "failed" else []
        if job.outcome == "stopped" or sites.removed:
            self.end(self._status)
        elif found is None:
            self.end("")
        else:
            self.end(f"{found}.")
            lines += found.notes
        if lines:  # or the reason why a later click was refused stays
            self.show_message("\n".join(lines))
        self._measure_next()
