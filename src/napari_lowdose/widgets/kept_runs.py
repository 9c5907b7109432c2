"""The runs behind the results, as long as there is room for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_lowdose.widgets.reucid_run import ReucidRun

MOST = 2**30  # bytes of all that is kept


class KeptRuns:
    """Which run made a layer: the newest runs, of layers that were not removed."""

    def __init__(self) -> None:
        self._runs: list[ReucidRun] = []  # the one used last at the end

    def add(self, run: ReucidRun) -> None:
        """Keep `run`, and let go of the oldest ones where all need too much memory."""
        self._runs = [each for each in self._runs if each is not run and not each.result_removed]
        self._runs.append(run)
        while len(self._runs) > 1 and sum(each.nbytes for each in self._runs) > MOST:
            del self._runs[0]

    def of(self, layer: Image) -> ReucidRun | None:
        """Return the run whose result or residual `layer` is; None if it is not kept."""
        return next((run for run in self._runs if layer in (run.result, run.residual)), None)

    def newest_of(self, source: Image) -> ReucidRun | None:
        """Return the run on `source` that was used last."""
        runs = (run for run in reversed(self._runs) if not run.result_removed)
        return next((run for run in runs if run.source is source), None)

    def forget_removed(self) -> None:
        """Let go of the runs whose results were removed."""
        self._runs = [run for run in self._runs if not run.result_removed]
