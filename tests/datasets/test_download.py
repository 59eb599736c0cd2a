"""``python -m eqvi download`` from a server on this machine, from folders and from files; damage, kills, no room."""

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
from pathlib import Path
from types import SimpleNamespace

import pytest
from reds_copy import write_copy, zipped
from server import Server, serving

from eqvi.__main__ import main
from eqvi.datasets import download, transfer
from eqvi.datasets.checksums import Checksum, add
from eqvi.datasets.download import SOURCES, Source
from eqvi.evaluation.methods import PUBLISHED
from eqvi.model.torchvision_models import ALEXNET, RESNET18, VGG16, import_models
from eqvi.paths import ROOT, WEIGHTS


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as state:
        yield state


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class Shop:
    """A server with two archives, and the command to download them."""

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

        monkeypatch.setattr(download.checksums, "add", interrupted)
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
        add({"val_15fps.zip": Checksum("0" * 64, 1, "a first place")}, shop.record)
        self.fails(shop, capsys, r"sha256.*from a first place", "val_15fps")
        shop.record.unlink()
        add({"val_15fps": Checksum("0" * 64, 1, "a first place")}, shop.record)
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
        left = [".val_15fps.lock", ".val_15fps.zip.part", ".val_15fps.zip.part.tag"]
        assert names(shop.folder / "val") == left
        shop.server.stopped.set()
        assert main(shop.arguments("val_15fps")) == 0
        assert names(shop.folder / "val") == ["val_15fps"]


class TestWeights:
    def checkpoints(self, folder: Path) -> Path:
        for part in SOURCES["weights"]["published"].contents:
            path = folder / "checkpoints" / part
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(part.encode())
        return zipped(folder / "checkpoints", folder / "checkpoints.zip", "checkpoints")

    def test_published(self, tmp_path: Path) -> None:
        archive, record = self.checkpoints(tmp_path), tmp_path / "hashes.json"
        options = ["--to", str(tmp_path / "mine"), "--from", str(archive), "--record", str(record)]
        assert main(["download", "weights", *options]) == 0
        parts = SOURCES["weights"]["published"].contents
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
            ("lpips", "alexnet-owt-7be5be79.pth", {"sha256": "af4e812d"}),
            ("resnet18", "resnet18-f37072fd.pth", {"sha256": "af4e812d"}),
            ("raft", "raft_large_C_T_SKHT_V2-ff5fadd5.pth", {"sha256": "af4e812d"}),
            ("raft-small", "raft_small_C_T_V2-01064c6d.pth", {"sha256": "af4e812d"}),
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
        assert (tmp_path / "mine" / pinned.contents[0]).read_bytes() == b"what is up, doc?"
        assert names(tmp_path / "mine") == [Path(pinned.contents[0]).parts[0]]


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
    for network in (VGG16, ALEXNET, RESNET18):
        source = SOURCES["weights"][network.download]
        assert network.path == WEIGHTS / source.contents[0]
        assert source.url == import_models().get_model_weights(network.name).DEFAULT.url
    assert "10BUA1ExZ5Cb_Fgetr-7chUHeXVgK9C2q" in SOURCES["weights"]["published"].url
    assert {file for file, _ in PUBLISHED.values()} < set(SOURCES["weights"]["published"].contents)
