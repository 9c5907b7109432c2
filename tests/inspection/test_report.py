"""The report: one HTML file, complete, safe, and with a script that repeats it."""

import re
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

import napari_lowdose
from napari_lowdose import Noise2Noise, Reucid, Run
from napari_lowdose.inspection import html_report, report
from napari_lowdose.inspection.repeat_script import repeat_script

Y, X = np.mgrid[:64, :64]
TRUTH = 10 + 40 * np.exp(-((Y % 16 - 8) ** 2 + (X % 16 - 8) ** 2) / 12)
RAW = np.random.default_rng(0).poisson(TRUTH).astype(np.uint16)
VOID = {"meta", "img", "br", "link", "input"}


class Nesting(HTMLParser):
    """Checks that every element is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.sources = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.sources += [value for name, value in attributes if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_a_report_is_one_file_with_everything_in_it(tmp_path):
    path = tmp_path / "report.html"
    clean = gaussian_filter(RAW.astype(float), 2)
    found = report(
        RAW,
        clean,
        path,
        truth=TRUTH,
        second=np.random.default_rng(1).poisson(TRUTH),
        pixel_size=(0.1, 0.1),
        unit="nm",
        title="<b>mine</b> & yours",
        lines=[((5, 5), (5, 50))],
        boxes=[(2, 20, 2, 20)],
    )
    page = path.read_text(encoding="utf-8")
    sources = Nesting(page).sources
    assert sources and all(source.startswith("data:image/png;base64,") for source in sources)
    assert "http" not in page.replace("http-equiv", "")
    assert found.verdict.headline in page and "Structure was removed" in page
    assert "<b>mine" not in page and "&lt;b&gt;mine&lt;/b&gt; &amp; yours" in page
    for words in ("distance (nm)", "(1/nm)", "FRC", "PSNR of the result", "RSD", "versions"):
        assert words in page, words
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_wider_than_a_narrow_window(tmp_path):
    report(RAW, TRUTH, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "style=" not in page  # no width in pixels
    assert ".plots svg { display: block; width: 100%; height: auto; }" in page
    plots = page.split('<div class="plots">')[1:]
    assert page.count("<svg viewBox=") - page.count('<div class="picture">') == sum(
        each.split("</div>")[0].count("<svg ") for each in plots
    )


def test_what_is_not_known_is_said_in_words(tmp_path):
    record = {"engine": "Reucid", "parameters": {"keep": None, "stacks": "random", "seed": 3}}
    report(RAW, TRUTH, tmp_path / "report.html", record=record)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<tr><th>pixel size, height × width</th><td>not known</td></tr>" in page
    for name, value in (("keep", "default"), ("stacks", "random"), ("seed", "3")):
        assert f"<tr><th>{name}</th><td>{value}</td></tr>" in page


def test_a_report_that_fails_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")
    monkeypatch.setattr(html_report, "_made", lambda record: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        report(RAW, TRUTH, path)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_the_script_in_the_report_writes_the_same_report(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("raw.tif", np.stack([RAW, RAW[::-1]]))
    run = Run(RAW[::-1], Reucid(patch_size=9, n_stacks=1, seed=3))
    for _ in run:
        pass
    record = run.record()
    record["input"] |= {"path": str(tmp_path / "raw.tif"), "frame": [1]}
    report(RAW[::-1], run.image, "report.html", record=record)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    script = unescape(re.findall("<pre>(.*?)</pre>", page, re.DOTALL)[-1])
    assert "Reucid(patch_size=9, n_stacks=1, seed=3)" in script
    (tmp_path / "report.html").unlink()
    exec(compile(script, "script", "exec"), {})
    again = (tmp_path / "report.html").read_text(encoding="utf-8")
    pictures = re.compile('src="(.*?)"')
    assert pictures.findall(again) == pictures.findall(page)


def test_the_script_of_a_pair_trains_again_for_as_long():
    record = {
        **Noise2Noise(time_budget=9.0).about(),
        "training": {"epochs": 12.5},
        "input": {"path": ["a.tif", "b.dm3"]},
    }
    script = repeat_script(record, pixel_size=(0.5, 0.5), unit="nm")
    assert "clean = denoise((image, second), Noise2Noise(epochs=12.5))" in script
    assert "read_image('b.dm3').pixels" in script
    assert "second=second, pixel_size=(0.5, 0.5), unit='nm'" in script


def test_the_script_of_a_network_that_was_applied_loads_it():
    record = {"engine": "Noise2NoiseModel", "parameters": {}, "input": {"path": "a.tif"}}
    script = repeat_script(record)
    assert "clean = denoise(image, Noise2NoiseModel.load('network.safetensors'))" in script
    assert (
        "# Save the network" in script and "from napari_lowdose import Noise2NoiseModel" in script
    )


def test_without_a_record_the_result_is_read():
    script = repeat_script({}, raw="a.tif", result="clean.tif")
    assert "clean = tifffile.imread('clean.tif')" in script and "not known how" in script
    assert "denoise" not in script.replace("denoised", "")


def test_it_is_found_where_the_documentation_says():
    assert napari_lowdose.inspection.report is report
