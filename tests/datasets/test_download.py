"""Downloads from a server on this machine that fails in every way that servers do."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from reds_copy import write_copy, zipped
from server import Server, serving

from eqvi.__main__ import main
from eqvi.datasets import download, transfer
from eqvi.datasets.archive import Damaged, unpack
from eqvi.datasets.checksums import Seen, recorded, remember
from eqvi.datasets.download import SOURCES, Source
from eqvi.datasets.transfer import fetch
from eqvi.errors import InputError
from eqvi.evaluation.methods import PUBLISHED
from eqvi.files import git_blob, sha256
from eqvi.paths import ROOT

CONTENT = bytes(range(256)) * 4000  # 1 MB


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as state:
        yield state


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestTransfer:
    def test_whole_file(self, server: Server, tmp_path: Path) -> None:
        server.files["/a"] = CONTENT
        offer = fetch(f"{server.address}/a", tmp_path / "a")
        assert (tmp_path / "a").read_bytes() == CONTENT
        assert (offer.size, offer.sha256, offer.tag) == (len(CONTENT), None, '"1"')
        assert names(tmp_path) == ["a"]

    def test_goes_on_after_every_cut(self, server: Server, tmp_path: Path) -> None:
        server.files["/a"], server.cuts = CONTENT, [100_000] * 8
        fetch(f"{server.address}/a", tmp_path / "a")
        assert (tmp_path / "a").read_bytes() == CONTENT
        starts = [int(asked.removeprefix("bytes=").removesuffix("-")) for _, asked in server.asked if asked]
        assert len(starts) == 8
        lost = [start + 100_000 - following for start, following in pairwise([0, *starts])]
        assert all(0 <= bytes_lost < 16384 for bytes_lost in lost)
        assert names(tmp_path) == ["a"]

    def test_silence_counts_as_a_cut(self, server: Server, tmp_path: Path) -> None:
        server.files["/a"], server.cuts, server.silent = CONTENT, [400_000], True
        begun = time.monotonic()
        fetch(f"{server.address}/a", tmp_path / "a", silence=0.3)
        assert time.monotonic() - begun < 20  # the server would keep silent for 30 s
        assert (tmp_path / "a").read_bytes() == CONTENT

    def test_gives_up_and_keeps_what_came(self, server: Server, tmp_path: Path) -> None:
        server.files["/a"], server.cuts = CONTENT, [300_000] + [0] * 20
        with pytest.raises(InputError, match=r"6 times in a row; 0\.3 MB are kept: run the same again"):
            fetch(f"{server.address}/a", tmp_path / "a", pause=0.001)
        assert "a" not in names(tmp_path)
        server.cuts, server.asked = [], []
        fetch(f"{server.address}/a", tmp_path / "a")
        assert server.asked == [("/a", f"bytes={300_000 // 16384 * 16384}-")]
        assert (tmp_path / "a").read_bytes() == CONTENT
        assert names(tmp_path) == ["a"]

    def test_begins_anew_where_the_server_cannot_go_on(self, server: Server, tmp_path: Path) -> None:
        server.files["/a"], server.cuts, server.ranges = CONTENT, [300_000], False
        fetch(f"{server.address}/a", tmp_path / "a")
        assert (tmp_path / "a").read_bytes() == CONTENT

    @pytest.mark.parametrize("other", [CONTENT[::-1], CONTENT[:200_000]], ids=["same size", "shorter"])
    def test_begins_anew_where_the_file_has_changed(self, server: Server, tmp_path: Path, other: bytes) -> None:
        server.files["/a"], server.cuts = CONTENT, [300_000] + [0] * 6
        with pytest.raises(InputError):
            fetch(f"{server.address}/a", tmp_path / "a", pause=0.001)
        server.files["/a"], server.tag, server.cuts = other, '"2"', []
        fetch(f"{server.address}/a", tmp_path / "a", pause=0.001)
        assert (tmp_path / "a").read_bytes() == other

    def test_everything_had_come_before_the_interruption(self, server: Server, tmp_path: Path) -> None:
        server.files["/a"] = CONTENT
        (tmp_path / ".a.part").write_bytes(CONTENT)
        (tmp_path / ".a.part.tag").write_text(f'"1" {len(CONTENT)}')
        fetch(f"{server.address}/a", tmp_path / "a")
        assert (tmp_path / "a").read_bytes() == CONTENT
        assert len(server.asked) == 1

    def test_sha256_of_a_redirection(self, server: Server, tmp_path: Path) -> None:
        server.files["/a"], server.linked["/a"] = CONTENT, hashlib.sha256(CONTENT).hexdigest()
        assert fetch(f"{server.address}/a", tmp_path / "a").sha256 == hashlib.sha256(CONTENT).hexdigest()

    def test_refused_with_one_line(self, server: Server, tmp_path: Path) -> None:
        server.files["/a"] = CONTENT
        for address, says in (("/b", "404"), ("/a", "web page"), ("/a", "503")):
            server.content_type = "text/html" if says == "web page" else "application/zip"
            server.status = 503 if says == "503" else 200
            with pytest.raises(InputError, match=says) as error:
                fetch(server.address + address, tmp_path / "a", pause=0.001)
            assert "\n" not in str(error.value)
        for address in ("http://127.0.0.1:1/a", "http://", "gopher://x/a"):
            with pytest.raises(InputError, match=re.escape(address)):
                fetch(address, tmp_path / "a", pause=0.001)
        assert names(tmp_path) == []

    def test_full_disk(self, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        server.files["/a"] = CONTENT
        monkeypatch.setattr(transfer.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
        with pytest.raises(InputError, match="make room"):
            fetch(f"{server.address}/a", tmp_path / "a")
        assert names(tmp_path) == []


class TestArchive:
    WANTED = re.compile(r"(?:.*/)?(val_15fps/[0-9]{3}/[0-9]{8}\.png)")

    def packed(self, path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in entries:
                archive.writestr(name, content)
        return path

    def test_only_what_is_wanted(self, tmp_path: Path) -> None:
        entries = [("val/val_15fps/000/00000000.png", b"x"), ("val/README", b"y"), ("val/val_15fps/", b"")]
        archive = self.packed(tmp_path / "a.zip", *entries)
        parts, others = unpack(archive, tmp_path / "out", self.WANTED)
        assert parts == {"val_15fps/000/00000000.png": hashlib.sha256(b"x").hexdigest()}
        assert others == ["val/README"]
        assert (tmp_path / "out/val_15fps/000/00000000.png").read_bytes() == b"x"

    @pytest.mark.parametrize(
        "name",
        ["../val_15fps/000/00000000.png", "/val_15fps/000/00000000.png", "C:/val_15fps/000/00000000.png",
         "a\\..\\val_15fps/000/00000000.png", "x/../../val_15fps/000/00000000.png"],
    )  # fmt: skip
    def test_nothing_leaves_the_folder(self, tmp_path: Path, name: str) -> None:
        archive = self.packed(tmp_path / "a.zip", ("val/val_15fps/000/00000008.png", b"x"), (name, b"y"))
        with pytest.raises(InputError, match="would leave the folder"):
            unpack(archive, tmp_path / "out", self.WANTED)
        assert names(tmp_path) == ["a.zip"]

    def test_links_are_refused(self, tmp_path: Path) -> None:
        link = zipfile.ZipInfo("val/val_15fps/000/00000000.png")
        link.external_attr = 0o120777 << 16
        with pytest.raises(InputError, match="would leave the folder"):
            unpack(self.packed(tmp_path / "a.zip", (link, b"/etc/passwd")), tmp_path / "out", self.WANTED)
        assert names(tmp_path) == ["a.zip"]

    def test_every_changed_byte_is_noticed(self, tmp_path: Path) -> None:
        good = self.packed(tmp_path / "a.zip", ("val/val_15fps/000/00000000.png", b"picture" * 30)).read_bytes()
        for place in range(len(good)):
            (tmp_path / "a.zip").write_bytes(good[:place] + bytes([good[place] ^ 0xFF]) + good[place + 1 :])
            try:
                unpack(tmp_path / "a.zip", tmp_path / f"out{place}", self.WANTED)
            except InputError:
                assert names(tmp_path) == ["a.zip"], place
            else:  # a byte without meaning, such as a date
                (out,) = (tmp_path / f"out{place}").rglob("*.png")
                assert out.read_bytes() == b"picture" * 30
                out.unlink()
                for folder in (out.parent, out.parent.parent, out.parent.parent.parent):
                    folder.rmdir()

    def test_every_truncation_is_noticed(self, tmp_path: Path) -> None:
        good = self.packed(tmp_path / "a.zip", ("val/val_15fps/000/00000000.png", b"picture" * 30)).read_bytes()
        for length in range(len(good)):
            (tmp_path / "a.zip").write_bytes(good[:length])
            with pytest.raises(Damaged, match="no complete zip"):
                unpack(tmp_path / "a.zip", tmp_path / "out", self.WANTED)

    def test_wrong_archive_and_doubled_entries(self, tmp_path: Path) -> None:
        archive = self.packed(tmp_path / "a.zip", ("val/val_30fps/000/00000000.png", b"x"))
        with pytest.raises(InputError, match=r"val_30fps/000/00000000\.png: the wrong archive"):
            unpack(archive, tmp_path / "out", self.WANTED)
        twice = ("val/val_15fps/000/00000000.png", b"x"), ("val_15fps/000/00000000.png", b"y")
        with pytest.raises(InputError, match="twice"):
            unpack(self.packed(tmp_path / "a.zip", *twice), tmp_path / "out", self.WANTED)
        assert names(tmp_path) == ["a.zip"]

    def test_no_room(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        archive = self.packed(tmp_path / "a.zip", ("val/val_15fps/000/00000000.png", b"x" * 2000))
        monkeypatch.setattr(transfer.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
        with pytest.raises(InputError, match="make room"):
            unpack(archive, tmp_path / "out", self.WANTED)


class TestRecord:
    def test_first_sight_and_ever_after(self, tmp_path: Path) -> None:
        record = tmp_path / "results" / "hashes.json"
        record.parent.mkdir()
        assert recorded("a", record) is None
        remember({"b": Seen("2" * 64, 2, "there"), "a": Seen("1" * 64, 1, "here")}, record)
        first = record.read_text()
        remember({"a": Seen("1" * 64, 1, "elsewhere")}, record)
        assert record.read_text() == first
        assert list(json.loads(first)) == ["a", "b"]
        with pytest.raises(InputError, match=r"a from elsewhere has sha256 3333.*from here, has 1111") as error:
            remember({"c": Seen("4" * 64, 1, "x"), "a": Seen("3" * 64, 1, "elsewhere")}, record)
        assert "\n" not in str(error.value)
        assert record.read_text() == first

    @pytest.mark.parametrize("text", ["{", "[]", '{"a": {"sha256": "0"}}', '{"a": 1}'])
    def test_damaged_record(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "hashes.json").write_text(text)
        with pytest.raises(InputError, match="no record of hashes"):
            recorded("a", tmp_path / "hashes.json")

    def test_git_blob(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"what is up, doc?")
        assert git_blob(tmp_path / "a") == "bd9dbf5aae1a3862dd1526723246b20206e5fc37"  # the example of Pro Git, 10.2
        assert sha256(tmp_path / "a") == hashlib.sha256(b"what is up, doc?").hexdigest()


class Shop:
    """A server that has two archives, and a user who wants them."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server, self.folder, self.record = server, folder / "mine", folder / "hashes.json"
        self.truth = write_copy(folder / "truth", last=16)
        self.archives = folder / "archives"
        for rate in (15, 30):
            name = f"val_{rate}fps"
            archive = zipped(self.truth / "val" / name, self.archives / f"{name}.zip", f"val/{name}")
            server.files[f"/{name}.zip"] = archive.read_bytes()

    def arguments(self, *more: str, place: str | None = None) -> list[str]:
        options = ["--to", str(self.folder), "--record", str(self.record), "--from", place or self.server.address]
        return ["download", "data", *more, *options]

    def held(self, root: Path | None = None) -> dict[str, bytes]:
        root = root or self.folder
        return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture
def shop(server: Server, tmp_path: Path) -> Shop:
    return Shop(server, tmp_path)


class TestCommand:
    def test_both_archives(self, shop: Shop, capsys: pytest.CaptureFixture) -> None:
        assert main(shop.arguments()) == 0
        assert shop.held() == shop.held(shop.truth)
        assert sorted(json.loads(shop.record.read_text())) == sorted(
            ["val_15fps.zip", "val_15fps", "val_30fps.zip", "val_30fps"]
        )
        shop.server.asked.clear()
        assert main(shop.arguments()) == 0
        assert "is there already" in capsys.readouterr().out
        assert shop.server.asked == []

    def test_only_what_is_asked_for_and_the_archive_kept(self, shop: Shop) -> None:
        assert main(shop.arguments("val_30fps", "--keep")) == 0
        assert {path for path, _ in shop.server.asked} == {"/val_30fps.zip"}
        assert names(shop.folder / "val") == ["val_30fps", "val_30fps.zip"]

    @pytest.mark.parametrize("whole", [False, True], ids=["folder", "file"])
    def test_local_archives(self, shop: Shop, whole: bool) -> None:
        place = shop.archives / "val_15fps.zip" if whole else shop.archives
        assert main(shop.arguments("val_15fps", place=str(place))) == 0
        assert names(shop.folder / "val") == ["val_15fps"]
        assert names(shop.archives) == ["val_15fps.zip", "val_30fps.zip"]
        assert shop.server.asked == []

    def test_interrupted_unpacking_leaves_nothing_seen(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted(*arguments: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(download.checksums, "remember", interrupted)
        assert main(shop.arguments("val_15fps")) == 130
        assert names(shop.folder / "val") == ["val_15fps.zip"]
        monkeypatch.undo()
        shop.server.asked.clear()
        assert main(shop.arguments("val_15fps")) == 0
        assert shop.server.asked == []
        assert names(shop.folder / "val") == ["val_15fps"]

    def fails(self, shop: Shop, capsys: pytest.CaptureFixture, says: str, *more: str, place: str | None = None) -> None:
        capsys.readouterr()
        assert main(shop.arguments(*more, place=place)) == 2
        said = capsys.readouterr().err
        (line,) = [line for line in said.splitlines() if line.startswith("eqvi: error: ")]
        assert re.search(says, line), line
        if shop.folder.is_dir():
            assert [path for path in shop.folder.rglob("*") if path.is_file() and path.suffix == ".png"] == []

    def test_damaged_on_the_way(self, shop: Shop, capsys: pytest.CaptureFixture) -> None:
        good = shop.server.files["/val_15fps.zip"]
        shop.server.files["/val_15fps.zip"] = good[:700] + bytes([good[700] ^ 1]) + good[701:]
        self.fails(shop, capsys, r"no complete zip archive.*removed: run the same again", "val_15fps")
        assert names(shop.folder / "val") == []
        assert not shop.record.exists()
        shop.server.files["/val_15fps.zip"] = good
        assert main(shop.arguments("val_15fps")) == 0

    def test_other_than_the_server_announces(self, shop: Shop, capsys: pytest.CaptureFixture) -> None:
        shop.server.linked["/val_15fps.zip"] = "0" * 64
        self.fails(shop, capsys, "arrived damaged", "val_15fps")
        assert names(shop.folder / "val") == []
        shop.server.linked["/val_15fps.zip"] = hashlib.sha256(shop.server.files["/val_15fps.zip"]).hexdigest()
        assert main(shop.arguments("val_15fps")) == 0

    def test_other_than_seen_first(self, shop: Shop, capsys: pytest.CaptureFixture) -> None:
        remember({"val_15fps.zip": Seen("0" * 64, 1, "a first place")}, shop.record)
        self.fails(shop, capsys, r"sha256.*from a first place", "val_15fps")
        shop.record.unlink()
        remember({"val_15fps": Seen("0" * 64, 1, "a first place")}, shop.record)
        self.fails(shop, capsys, r"val_15fps from .* from a first place", "val_15fps")

    def test_damaged_local_archive_stays(self, shop: Shop, capsys: pytest.CaptureFixture) -> None:
        archive = shop.archives / "val_15fps.zip"
        archive.write_bytes(archive.read_bytes()[:-40])
        self.fails(shop, capsys, "no complete zip", "val_15fps", place=str(archive))
        assert archive.is_file()
        assert names(shop.folder / "val") == []

    def test_archive_of_another_rate(self, shop: Shop, capsys: pytest.CaptureFixture) -> None:
        shop.server.files["/val_15fps.zip"] = shop.server.files["/val_30fps.zip"]
        self.fails(shop, capsys, "the wrong archive", "val_15fps")

    def test_no_room(self, shop: Shop, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
        size = sum(map(len, shop.server.files.values()))
        monkeypatch.setattr(transfer.shutil, "disk_usage", lambda path: SimpleNamespace(free=size + 1))
        self.fails(shop, capsys, "make room")
        assert shop.server.asked == [("/val_15fps.zip", None), ("/val_30fps.zip", None)]

    def test_bad_arguments(self, shop: Shop, capsys: pytest.CaptureFixture) -> None:
        self.fails(shop, capsys, "no data called 'val_24fps': choose from val_15fps", "val_24fps")
        self.fails(shop, capsys, "no such file", place=str(shop.folder / "nowhere"))
        self.fails(shop, capsys, "is one file", place=str(shop.archives / "val_15fps.zip"))
        self.fails(shop, capsys, "404", place=f"{shop.server.address}/elsewhere")
        assert main(["download", "data"]) == 2
        assert "name a folder" in capsys.readouterr().err

    def test_killed_while_downloading(self, shop: Shop) -> None:
        content = shop.server.files["/val_15fps.zip"]
        shop.server.cuts, shop.server.silent = [None, len(content) // 2], True  # the first answer only tells the size
        command = [sys.executable, "-m", "eqvi", *shop.arguments("val_15fps")]
        partial = shop.folder / "val" / ".val_15fps.zip.part"
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            for _ in range(1200):
                if len(shop.server.asked) == 2 and partial.is_file():
                    break
                time.sleep(0.05)
        finally:
            run.send_signal(signal.SIGKILL)
            run.wait(10)
        assert names(shop.folder / "val") == [".val_15fps.zip.part", ".val_15fps.zip.part.tag"]
        shop.server.stopped.set()
        assert main(shop.arguments("val_15fps")) == 0
        assert names(shop.folder / "val") == ["val_15fps"]


class TestWeights:
    def checkpoints(self, folder: Path) -> Path:
        for part in SOURCES["weights"]["published"].gives:
            path = folder / "checkpoints" / part
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(part.encode())
        return zipped(folder / "checkpoints", folder / "checkpoints.zip", "checkpoints")

    def test_published(self, tmp_path: Path) -> None:
        archive, record = self.checkpoints(tmp_path), tmp_path / "hashes.json"
        options = ["--to", str(tmp_path / "mine"), "--from", str(archive), "--record", str(record)]
        assert main(["download", "weights", *options]) == 0
        parts = SOURCES["weights"]["published"].gives
        assert all((tmp_path / "mine" / part).read_bytes() == part.encode() for part in parts)
        assert sorted(json.loads(record.read_text())) == sorted([*parts, "checkpoints.zip"])
        assert not [path for path in (tmp_path / "mine").iterdir() if path.name.startswith(".")]

    def test_what_the_archive_lacks_is_said(self, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
        archive = tmp_path / "checkpoints.zip"
        with zipfile.ZipFile(archive, "w") as packed:
            packed.writestr("Stage3_RCSN_RQFP/Stage3_checkpoint.ckpt", b"x")
        options = ["--to", str(tmp_path / "mine"), "--from", str(archive), "--record", str(tmp_path / "h.json")]
        assert main(["download", "weights", *options]) == 0
        assert "Stage4_MSFuion/Stage4_checkpoint.ckpt was expected" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("name", "file", "right"),
        [
            ("irr-pwc", "checkpoint_best.ckpt", {"git_blob": "bd9dbf5aae1a3862dd1526723246b20206e5fc37"}),
            ("vgg", "vgg16-397923af.pth", {"sha256": "af4e812d"}),
        ],
    )
    def test_pinned(
        self, name: str, file: str, right: dict, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        options = ["--to", str(tmp_path / "mine"), "--record", str(tmp_path / "h.json"), "--from", server.address]
        server.files[f"/{file}"], server.content_type = b"what is up, doc?", "application/octet-stream"
        assert main(["download", "weights", name, *options]) == 2
        assert list((tmp_path / "mine").iterdir()) == []
        pinned = SOURCES["weights"][name]._replace(**right)
        monkeypatch.setitem(SOURCES["weights"], name, pinned)
        assert main(["download", "weights", name, *options]) == 0
        assert (tmp_path / "mine" / pinned.gives[0]).read_bytes() == b"what is up, doc?"
        assert names(tmp_path / "mine") == [Path(pinned.gives[0]).parts[0]]


def test_make_hands_its_settings_on() -> None:
    options = ["DATA=/a b", "ARCHIVES=val_15fps val_60fps", "FROM=http://x/y", "WEIGHTS=/w"]
    make = ["make", "--no-print-directory", "-n", "-o", ".venv/installed", "data", "weights"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    said = subprocess.run([*make, *options], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.splitlines() == [
        '.venv/bin/python -m eqvi download data val_15fps val_60fps --to "/a b" --from "http://x/y"',
        '.venv/bin/python -m eqvi download weights --to "/w" --from "http://x/y"',
    ]


def test_every_source_is_where_it_is_today() -> None:
    assert set(SOURCES["data"]) == {
        "train_15fps", "train_30fps", "train_60fps", "val_15fps", "val_30fps", "val_60fps", "test_15fps",
    }  # fmt: skip
    for name, source in SOURCES["data"].items():
        assert source.url == f"https://huggingface.co/datasets/snah/REDS_VTSR/resolve/main/{name}.zip"
        assert isinstance(source, Source)
    assert "10BUA1ExZ5Cb_Fgetr-7chUHeXVgK9C2q" in SOURCES["weights"]["published"].url
    assert {file for file, _ in PUBLISHED.values()} < set(SOURCES["weights"]["published"].gives)
