"""Atomic writing: a file is complete or does not appear."""

import os
import stat

import pytest

from napari_lowdose.io import atomic
from napari_lowdose.io.atomic import atomic_write, check_writable


def test_file_appears_only_when_complete(tmp_path):
    path = tmp_path / "out.bin"
    with atomic_write(path) as file:
        file.write(b"half")
        assert not path.exists()
        file.write(b" and half")
    assert path.read_bytes() == b"half and half"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("reason", [OSError(28, "No space left"), KeyboardInterrupt, ValueError])
def test_failure_leaves_nothing_behind(tmp_path, reason):
    path = tmp_path / "out.bin"
    path.write_bytes(b"old")
    with pytest.raises(BaseException), atomic_write(path) as file:  # noqa: B017
        file.write(b"new")
        raise reason
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_disk_full_on_fsync_keeps_old_file(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"), atomic_write(tmp_path / "out.bin") as file:
        file.write(b"new")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="permissions are not like this on Windows")
def test_permissions_are_the_default(tmp_path):
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    with atomic_write(tmp_path / "out") as file:
        file.write(b"x")
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (plain, tmp_path / "out")]
    assert modes[0] == modes[1]


def test_very_long_name_can_be_written(tmp_path):
    path = tmp_path / ("n" * 250 + ".tif")
    with atomic_write(path) as file:
        file.write(b"x")
    assert path.exists()


def test_the_error_names_the_file_that_was_asked_for(tmp_path):
    path = tmp_path / "none" / "out.bin"
    with pytest.raises(FileNotFoundError) as error, atomic_write(path):
        pass
    assert error.value.filename == str(path)
    assert ".part" not in str(error.value)


# ---------------------------------------------------------------- check_writable


def test_check_writable_leaves_nothing_behind(tmp_path):
    check_writable(tmp_path / "out.tif", 1000)
    check_writable(tmp_path / "not" / "there" / "out.tif", 1000)
    assert list(tmp_path.iterdir()) == []


def test_folder_without_write_permission_is_refused(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied", "the temporary file")

    monkeypatch.setattr(atomic, "open", refuse, raising=False)
    with pytest.raises(PermissionError, match=r"Cannot write into .*: Permission denied") as error:
        check_writable(tmp_path / "out.tif")
    assert str(tmp_path) in str(error.value)


def test_file_in_place_of_folder_is_refused(tmp_path):
    (tmp_path / "file").write_bytes(b"precious")
    with pytest.raises(OSError, match="Cannot write into"):
        check_writable(tmp_path / "file" / "out.tif")
    assert (tmp_path / "file").read_bytes() == b"precious"


def test_too_long_name_is_refused(tmp_path):
    with pytest.raises(OSError, match="too long"):
        check_writable(tmp_path / ("n" * 300))


def test_too_little_space_is_refused_with_sizes(tmp_path):
    with pytest.raises(OSError, match=r"needs 1024\.0 TiB, and [\d.]+ [KMGT]iB are free"):
        check_writable(tmp_path / "out.tif", 2**50)


def test_an_error_names_the_file_that_was_asked_for(tmp_path):
    path = tmp_path / "missing" / "a.tif"
    with pytest.raises(OSError) as caught, atomic_write(path):
        pass
    assert caught.value.filename == str(path)
