"""The progress bar of the command line."""

import io
import time

import numpy as np
import pytest
import tifffile

from napari_lowdose.cli import main
from napari_lowdose.cli.messages import progress_bar
from napari_lowdose.engine import Step


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_shown_on_a_terminal_only(monkeypatch, terminal):
    stream = io.StringIO()
    stream.isatty = lambda: terminal
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setenv("COLUMNS", "80")
    with progress_bar("scan.tif") as show:
        time.sleep(0.15)  # tqdm draws at most every 0.1 s
        show(Step(fraction=0.5, message="draw 3 of 5", seconds_left=4))
    shown = stream.getvalue()
    assert ("scan.tif:  50%" in shown and "4 s left, draw 3 of 5" in shown) == terminal
    assert bool(shown) == terminal


def test_advice_names_the_option(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    image = rng.normal(100, 3, (128, 128)) + rng.normal(0, 9, 128)  # each column has its offset
    tifffile.imwrite(tmp_path / "camera.tif", image.astype(np.float32))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["napari-lowdose", "reucid", "camera.tif", "-o", "clean.tif"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (0, None)
    assert "use --scan-noise columns" in capsys.readouterr().err
