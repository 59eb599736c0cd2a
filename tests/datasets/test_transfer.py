"""Downloads from a server on this machine that fails in every way that servers do."""

import hashlib
import re
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from server import Server, serving

from eqvi.datasets import transfer
from eqvi.datasets.transfer import fetch
from eqvi.errors import InputError

CONTENT = bytes(range(256)) * 4000  # 1 MB


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as state:
        yield state


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_whole_file_arrives_with_what_the_server_says_of_it(server: Server, tmp_path: Path) -> None:
    server.files["/a"] = CONTENT
    offer = fetch(f"{server.address}/a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert (offer.size, offer.sha256, offer.tag) == (len(CONTENT), None, '"1"')
    assert names(tmp_path) == ["a"]


def test_a_download_resumes_after_every_cut(server: Server, tmp_path: Path) -> None:
    server.files["/a"], server.cuts = CONTENT, [100_000] * 8
    fetch(f"{server.address}/a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT
    starts = [int(asked.removeprefix("bytes=").removesuffix("-")) for _, asked in server.asked if asked]
    assert len(starts) == 8
    lost = [start + 100_000 - following for start, following in pairwise([0, *starts])]
    assert all(0 <= bytes_lost < 16384 for bytes_lost in lost)
    assert names(tmp_path) == ["a"]


def test_a_silent_connection_is_renewed(server: Server, tmp_path: Path) -> None:
    server.files["/a"], server.cuts, server.silent = CONTENT, [400_000], True
    begun = time.monotonic()
    fetch(f"{server.address}/a", tmp_path / "a", timeout=0.3)
    assert time.monotonic() - begun < 20  # the server would keep silent for 30 s
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_what_arrived_is_kept_after_giving_up_and_resumed_later(server: Server, tmp_path: Path) -> None:
    server.files["/a"], server.cuts = CONTENT, [300_000] + [0] * 20
    with pytest.raises(InputError, match=r"6 times in a row; 0\.3 MB are kept: run the same again"):
        fetch(f"{server.address}/a", tmp_path / "a", pause=0.001)
    assert "a" not in names(tmp_path)
    server.cuts, server.asked = [], []
    fetch(f"{server.address}/a", tmp_path / "a")
    assert server.asked == [("/a", f"bytes={300_000 // 16384 * 16384}-")]
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert names(tmp_path) == ["a"]


def test_a_download_restarts_where_the_server_cannot_resume(server: Server, tmp_path: Path) -> None:
    server.files["/a"], server.cuts, server.ranges = CONTENT, [300_000], False
    fetch(f"{server.address}/a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT


@pytest.mark.parametrize("other", [CONTENT[::-1], CONTENT[:200_000]], ids=["same size", "shorter"])
def test_a_download_restarts_where_the_file_has_changed(server: Server, tmp_path: Path, other: bytes) -> None:
    server.files["/a"], server.cuts = CONTENT, [300_000] + [0] * 6
    with pytest.raises(InputError):
        fetch(f"{server.address}/a", tmp_path / "a", pause=0.001)
    server.files["/a"], server.tag, server.cuts = other, '"2"', []
    fetch(f"{server.address}/a", tmp_path / "a", pause=0.001)
    assert (tmp_path / "a").read_bytes() == other


def test_nothing_is_downloaded_again_where_only_the_renaming_was_missing(server: Server, tmp_path: Path) -> None:
    server.files["/a"] = CONTENT
    (tmp_path / ".a.part").write_bytes(CONTENT)
    (tmp_path / ".a.part.tag").write_text(f'"1" {len(CONTENT)}')
    fetch(f"{server.address}/a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert len(server.asked) == 1


def test_the_sha256_of_a_redirection_is_returned(server: Server, tmp_path: Path) -> None:
    server.files["/a"], server.linked["/a"] = CONTENT, hashlib.sha256(CONTENT).hexdigest()
    assert fetch(f"{server.address}/a", tmp_path / "a").sha256 == hashlib.sha256(CONTENT).hexdigest()


def test_bad_addresses_and_answers_are_refused_with_one_line(server: Server, tmp_path: Path) -> None:
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


def test_a_full_disk_is_refused_before_anything_is_written(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["/a"] = CONTENT
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(InputError, match="make room"):
        fetch(f"{server.address}/a", tmp_path / "a")
    assert names(tmp_path) == []
