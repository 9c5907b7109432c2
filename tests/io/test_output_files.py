"""Results have places of their own, and nothing is lost where a place cannot take them."""

import pytest
import tifffile
import zarr

from napari_lowdose.io.output_files import match_files, output_files, save_elsewhere


def images(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        tifffile.imwrite(folder / name, [[0, 1], [2, 3]], photometric="minisblack")
    return folder


@pytest.mark.parametrize("name", ["out.tif", "out.TIFF", "out.btf", "out.zarr", "out.png", "o.dm3"])
def test_no_folder_gets_the_name_of_an_image(tmp_path, name):
    folder = images(tmp_path / "in", "a.tif", "b.tif")
    for inputs in ([folder], [folder / "a.tif", folder / "b.tif"]):
        with pytest.raises(ValueError, match="need a folder, with a name that does not end in"):
            output_files(inputs, tmp_path / name)


def test_other_names_of_folders_are_fine(tmp_path):
    folder = images(tmp_path / "in", "a.tif", "b.dat")
    targets = [target for _, target in output_files([folder], tmp_path / "results.v2")]
    assert targets == [tmp_path / "results.v2" / "a.tif", tmp_path / "results.v2" / "b.tif"]


def test_a_folder_inside_the_input_takes_results_which_are_no_inputs(tmp_path):
    folder = images(tmp_path / "in", "a.tif")
    images(folder / "clean", "old.tif")
    ((source, target),) = output_files([folder], folder / "clean")
    assert (source, target) == (folder / "a.tif", folder / "clean" / "a.tif")


def test_a_zarr_folder_is_one_image_whatever_its_name(tmp_path):
    zarr.create_array(tmp_path / "scan", shape=(4, 4), dtype="u1")
    assert output_files([tmp_path / "scan"], tmp_path / "a.tif")[0][1] == tmp_path / "a.tif"
    with pytest.raises(ValueError, match="is one image"):
        output_files([images(tmp_path / "in", "a.tif")], tmp_path / "scan")


def test_the_same_stem_twice_is_refused(tmp_path):
    one, two = (images(tmp_path / name, "a.tif") for name in ("one", "two"))
    with pytest.raises(ValueError, match="would be the output of both"):
        output_files([one, two], tmp_path / "out")


# ----------------------------------------------------------------------- pairs of folders


def test_folders_are_paired_by_name(tmp_path):
    first = images(tmp_path / "A", "1.tif", "2.tif", "only.tif")
    second = images(tmp_path / "B", "2.tif", "1.tiff")
    pairs, alone = match_files(first, second)
    assert pairs == [(first / "1.tif", second / "1.tiff"), (first / "2.tif", second / "2.tif")]
    assert alone == [first / "only.tif"]


def test_what_is_no_pair_of_folders_gets_a_sentence(tmp_path):
    first, second = images(tmp_path / "A", "1.tif"), images(tmp_path / "B", "2.tif")
    for one, two, says in (
        (first, second, "no image names in common"),
        (first / "1.tif", second, "is a file and"),
        (second, first / "1.tif", "is a file and"),
        (first, first, "in the same folder"),
        (images(tmp_path / "C"), first, "no image names in common"),
    ):
        with pytest.raises(ValueError, match=says):
            match_files(one, two)


def test_two_files_are_a_pair_whatever_their_names(tmp_path):
    a, b = tmp_path / "a.tif", tmp_path / "b.tif"
    assert match_files(a, b) == ([(a, b)], [])


# -------------------------------------------------------------------------- save elsewhere


def test_what_is_saved_elsewhere_replaces_nothing(tmp_path):
    source = tmp_path / "in.tif"
    source.write_bytes(b"precious")
    found = save_elsewhere(tmp_path / "no" / "in.tif", source, lambda p: p.write_bytes(b"result"))
    assert found == tmp_path / "in-2.tif" and found.read_bytes() == b"result"
    assert source.read_bytes() == b"precious"


def test_the_next_folder_is_tried_where_one_cannot_take_it(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))

    def save(path):
        if path.parent != home:
            raise OSError(28, "No space left on device")
        path.write_bytes(b"result")

    assert save_elsewhere(tmp_path / "out.tif", tmp_path / "in.tif", save) == home / "out.tif"


def test_where_no_folder_can_take_it_nothing_is_said_to_be_saved(tmp_path):
    def full(_):
        raise OSError(28, "No space left on device")

    assert save_elsewhere(tmp_path / "out.tif", tmp_path / "in.tif", full) is None
