"""Zip archives: only what is wanted, nothing outside the folder, every damage noticed."""

import hashlib
import re
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from eqvi.datasets import transfer
from eqvi.datasets.archive import DamagedFile, _select, unpack
from eqvi.errors import InputError

WANTED = re.compile(r"(?:.*/)?(val_15fps/[0-9]{3}/[0-9]{8}\.png)")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def packed(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def test_only_wanted_members_are_unpacked(tmp_path: Path) -> None:
    entries = [("val/val_15fps/000/00000000.png", b"x"), ("val/README", b"y"), ("val/val_15fps/", b"")]
    archive = packed(tmp_path / "a.zip", *entries)
    parts, others = unpack(archive, tmp_path / "out", WANTED)
    assert parts == {"val_15fps/000/00000000.png": hashlib.sha256(b"x").hexdigest()}
    assert others == ["val/README"]
    assert (tmp_path / "out/val_15fps/000/00000000.png").read_bytes() == b"x"


@pytest.mark.parametrize(
    "name",
    ["../val_15fps/000/00000000.png", "/val_15fps/000/00000000.png", "C:/val_15fps/000/00000000.png",
     "a\\..\\val_15fps/000/00000000.png", "x/../../val_15fps/000/00000000.png",
     "val/val_15fps/000/00000000.png:stream"],
)  # fmt: skip
def test_paths_out_of_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    archive = packed(tmp_path / "a.zip", ("val/val_15fps/000/00000008.png", b"x"), (name, b"y"))
    with pytest.raises(InputError, match="would leave the folder"):
        unpack(archive, tmp_path / "out", WANTED)
    assert names(tmp_path) == ["a.zip"]


@pytest.mark.parametrize(
    "part",
    ["CON", "nul", "aux.txt", "Com1.tar.gz", "lpt\u00b9", "CONOUT$", "prn .png", "000.", "000 ", "a?", "a\n"],
)  # fmt: skip
def test_names_that_windows_reads_otherwise_are_refused(tmp_path: Path, part: str) -> None:
    wanted = ("val/val_15fps/000/00000008.png", b"x")
    for name in (f"val/{part}", f"val/{part}/00000000.png"):
        with pytest.raises(InputError, match="is another file on Windows"):
            unpack(packed(tmp_path / "a.zip", wanted, (name, b"y")), tmp_path / "out", WANTED)
    assert names(tmp_path) == ["a.zip"]


def test_names_that_only_look_like_devices_are_unpacked(tmp_path: Path) -> None:
    member = re.compile(r"(.+)")
    expected = [".hidden", "com10", "con-1.png", "console", "nullable.txt", "x.con"]
    archive = packed(tmp_path / "a.zip", *((f"d/{name}", b"x") for name in expected))
    parts, _ = unpack(archive, tmp_path / "out", member)
    assert [name.removeprefix("d/") for name in parts] == expected
    assert names(tmp_path / "out" / "d") == expected


def test_links_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("val/val_15fps/000/00000000.png")
    link.external_attr = 0o120777 << 16
    with pytest.raises(InputError, match="would leave the folder"):
        unpack(packed(tmp_path / "a.zip", (link, b"/etc/passwd")), tmp_path / "out", WANTED)
    assert names(tmp_path) == ["a.zip"]


def test_every_changed_byte_is_noticed(tmp_path: Path) -> None:
    good = packed(tmp_path / "a.zip", ("val/val_15fps/000/00000000.png", b"picture" * 30)).read_bytes()
    for place in range(len(good)):
        (tmp_path / "a.zip").write_bytes(good[:place] + bytes([good[place] ^ 0xFF]) + good[place + 1 :])
        try:
            unpack(tmp_path / "a.zip", tmp_path / f"out{place}", WANTED)
        except InputError:
            assert names(tmp_path) == ["a.zip"], place
        else:  # a byte without meaning, such as a date
            (out,) = (tmp_path / f"out{place}").rglob("*.png")
            assert out.read_bytes() == b"picture" * 30
            out.unlink()
            for folder in (out.parent, out.parent.parent, out.parent.parent.parent):
                folder.rmdir()


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    good = packed(tmp_path / "a.zip", ("val/val_15fps/000/00000000.png", b"picture" * 30)).read_bytes()
    for length in range(len(good)):
        (tmp_path / "a.zip").write_bytes(good[:length])
        with pytest.raises(DamagedFile, match="no complete zip"):
            unpack(tmp_path / "a.zip", tmp_path / "out", WANTED)


def test_an_entry_without_a_name_is_another_file(tmp_path: Path) -> None:
    entry = zipfile.ZipInfo("x")
    entry.filename = entry.orig_filename = ""  # as it is read from a spoilt archive; zipfile writes none
    with pytest.raises(InputError, match="holds none of the files that are looked for"):
        _select(tmp_path / "a.zip", [entry], WANTED)


def test_another_archive_and_doubled_members_are_refused(tmp_path: Path) -> None:
    archive = packed(tmp_path / "a.zip", ("val/val_30fps/000/00000000.png", b"x"))
    with pytest.raises(InputError, match=r"val_30fps/000/00000000\.png: the wrong archive"):
        unpack(archive, tmp_path / "out", WANTED)
    twice = ("val/val_15fps/000/00000000.png", b"x"), ("val_15fps/000/00000000.png", b"y")
    with pytest.raises(InputError, match="twice"):
        unpack(packed(tmp_path / "a.zip", *twice), tmp_path / "out", WANTED)
    assert names(tmp_path) == ["a.zip"]


def test_a_full_disk_is_refused_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = packed(tmp_path / "a.zip", ("val/val_15fps/000/00000000.png", b"x" * 2000))
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(InputError, match="make room"):
        unpack(archive, tmp_path / "out", WANTED)
