"""Journals keep every row through kills, and several processes write the rows of one."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from faked import read_rows
from reds_copy import write_sliding

from eqvi.__main__ import main
from eqvi.datasets.cases import open_dataset, open_held_out
from eqvi.errors import InputError
from eqvi.evaluation import measure
from eqvi.evaluation.journal import Journal
from eqvi.evaluation.methods import from_callable, open_method
from eqvi.paths import ROOT


def arguments(reds: Path, out: Path) -> list[str]:
    command = ["evaluate", "--data", str(reds), "--dataset", "rendered"]
    return [*command, "--step", "4", "--models", "baseline", "--out", str(out)]


def start(reds: Path, out: Path) -> BaseProcess:
    """The command in a process of its own, forked from one that has imported the package already."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["eqvi.__main__", "eqvi.cli.evaluate"])
    process = context.Process(target=run_unhurried, args=(arguments(reds, out),))
    process.start()
    return process


def run_unhurried(command: list[str]) -> None:
    """The command, with a pause after every row, so that it cannot end before a kill that comes late."""
    append = Journal.append

    def append_and_rest(journal: Journal, row: Mapping[str, str]) -> None:
        append(journal, row)
        time.sleep(0.05)

    Journal.append = append_and_rest  # type: ignore[method-assign]  # in this process alone, which is killed
    main(command)


def read(journal: Path) -> bytes:
    """Its content; nothing where it is not there yet."""
    return journal.read_bytes() if journal.is_file() else b""


def list_of(journal: Path) -> list[tuple[str, int]]:
    """What lies beside it, with sizes."""
    return [(path.name, path.stat().st_size) for path in sorted(journal.parent.parent.rglob("*"))]


def test_ten_kills_lose_and_repeat_nothing(tmp_path):
    reds = write_sliding(tmp_path / "reds", inputs=8)
    assert main(arguments(reds, tmp_path / "whole")) == 0
    draw, journal = random.Random(5), tmp_path / "killed/.baseline_rendered_x4.part/0-of-1.csv"
    total, kept = 42, b""
    for kill in range(10):
        process = start(reds, tmp_path / "killed")
        # At any moment: before the first new row, or after some more rows than last time.
        early = kill in (0, 4)
        wanted = max(total * kill // 11 + draw.randint(0, 2), kept.count(b"\n") + early)
        end = time.monotonic() + (draw.uniform(0, 0.3) if early else 60)
        while read(journal).count(b"\n") < wanted and time.monotonic() < end and process.is_alive():
            time.sleep(0.002)
        time.sleep(draw.uniform(0, 0.02))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        end = time.monotonic() + 2  # a file system may show the last writes of a killed process late
        while not read(journal).startswith(kept) and time.monotonic() < end:
            time.sleep(0.01)
        found = read(journal)
        assert found.startswith(kept), f"kill {kill}: {len(kept)} bytes became {len(found)}, in {list_of(journal)}"
        kept = found[: found.rfind(b"\n") + 1]
    assert 0 < kept.count(b"\n") < total
    assert not list((tmp_path / "killed").glob("*.csv"))
    assert main(arguments(reds, tmp_path / "killed")) == 0
    for name in ("baseline_rendered_x4.csv", "baseline_rendered_x4.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not list((tmp_path / "killed").glob(".*"))


def test_two_processes_write_the_rows_of_one(reds, tmp_path):
    assert main(arguments(reds, tmp_path / "one")) == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--no-python"]
    command = [sys.executable, "-m", "eqvi", *arguments(reds, tmp_path / "two")]
    done = subprocess.run([*torchrun, *command], cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    for name in ("baseline_rendered_x4.csv", "baseline_rendered_x4.json"):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    assert not list((tmp_path / "two").glob(".*"))


def test_a_damaged_row_of_a_journal_is_computed_again(reds, tmp_path):
    assert main(arguments(reds, tmp_path / "whole")) == 0
    journal = tmp_path / "hurt/.baseline_rendered_x4.part/0-of-1.csv"
    process = start(reds, tmp_path / "hurt")
    while process.is_alive() and not (journal.is_file() and journal.read_bytes().count(b"\n") > 5):
        time.sleep(0.002)
    process.kill()
    process.join()
    content = bytearray(journal.read_bytes())
    place = content.index(b"\n") + 40  # a digit of the second row
    content[place] ^= 1
    journal.write_bytes(content)
    assert main(arguments(reds, tmp_path / "hurt")) == 0
    name = "baseline_rendered_x4.csv"
    assert (tmp_path / "hurt" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_only_the_torn_row_of_a_journal_is_computed_again(reds, tmp_path, monkeypatch):
    cases, out = open_dataset(reds, "rendered", clips=1), tmp_path / "x_rendered.csv"
    asked: list[float] = []

    def failing(frames, t):
        asked.append(t)
        if len(asked) == 4:
            raise KeyboardInterrupt
        return frames[:, frames.shape[1] // 2]

    method = from_callable("x", failing)
    with pytest.raises(KeyboardInterrupt):
        measure.measure(out, cases, [method], "rendered", {})
    journal = tmp_path / ".x_rendered.part" / "0-of-1.csv"
    assert journal.read_text().count("\n") == 3
    journal.write_text(journal.read_text()[:-7])
    assert measure.measure(out, cases, [method], "rendered", {})
    assert len(asked) == 4 + 3
    assert len(read_rows(out)) == 5


def test_shares_of_any_number_of_processes_are_merged(reds, tmp_path, monkeypatch):
    cases = open_dataset(reds, "rendered", 4)
    whole, parts = tmp_path / "a" / "blend.csv", tmp_path / "b" / "blend.csv"
    measure.measure(whole, cases, [open_method("blend")], "rendered", {})
    finished = []
    for rank, world in ((1, 3), (0, 2), (2, 3), (1, 2)):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", str(world))
        finished.append(measure.measure(parts, cases, [open_method("blend")], "rendered", {}))
    # The last one comes when all is done, and finds it so.
    assert finished == [False, False, True, True]
    assert not list((tmp_path / "b").glob(".*"))
    assert parts.read_bytes() == whole.read_bytes()


def test_another_run_is_not_resumed(reds, tmp_path):
    cases, out = open_dataset(reds, "rendered", clips=1), tmp_path / "x.csv"

    def fails(frames, t):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure.measure(out, cases, [from_callable("x", fails)], "rendered", {"every": 1})
    with pytest.raises(InputError, match=r"holds an interrupted run with another parameters: give --restart \(in"):
        measure.measure(out, cases, [open_method("blend")._replace(name="x")], "rendered", {"every": 2})
    assert measure.measure(out, cases, [open_method("blend")], "rendered", {"every": 2}, restart=True)


@pytest.mark.parametrize("ranks", [("2", "2"), ("one", "2")])
def test_ranks_that_cannot_be(folder, tmp_path, monkeypatch, ranks):
    monkeypatch.setenv("RANK", ranks[0])
    monkeypatch.setenv("WORLD_SIZE", ranks[1])
    with pytest.raises(InputError, match="RANK="):
        measure.measure(tmp_path / "x.csv", [open_held_out(folder, 2)], [open_method("blend")], "left out", {})
