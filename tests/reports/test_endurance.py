"""What is said of faults, repetition and long runs, from rows."""

import math
from pathlib import Path

import pytest

from eqvi.errors import InputError
from eqvi.reports import endurance
from eqvi.viz import endurance as charts

FAULTS = """seed,commit,number,fault,command,detail,effect,outcome
0,c,0,kill -9,render,after 1 s,killed,same bytes
0,c,1,kill -9,render,after 2 s,succeeded,same bytes
0,c,2,SIGTERM,evaluate,after 1 s,interrupted,same bytes
0,c,3,full disk,render,4 kB,refused: out: the disk is full; free some space,same bytes
0,c,4,two at once,render,1 s apart,succeeded; refused: out: another process works there,same bytes
0,c,5,two at once,render,1 s apart,refused: out: another process works there; succeeded,same bytes
0,c,6,kill -9,site,,,a traceback: EOFError
"""
REPEATABILITY = """what,against,equal,largest
small,a second run,True,0.00e+00
small,4 threads,False,2.00e-06
evaluate,a second run,True,
train,a second run,False,
"""
SOAK = "run,done,seconds,memory_mib,handles,processes,temporary\n" + "".join(
    f"training,{10 * number},{number},{300 + 2 * number},{8 + number % 2},1,1\n" for number in range(1, 41)
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "faults.csv").write_text(FAULTS)
    (tmp_path / "faults.json").write_text('{"date": "2026-01-02", "commit": "abc", "seed": 0}')
    (tmp_path / "repeatability.csv").write_text(REPEATABILITY)
    (tmp_path / "soak.csv").write_text(SOAK + "training,400,41,0.0,0,0,2\n")
    return tmp_path


def test_faults_are_counted_by_kind_and_effect(folder: Path) -> None:
    table = endurance.fault_counts(folder).set_index("kind")
    assert table.index[0] == "kill -9"
    assert table.loc["kill -9"].to_dict() == {
        "faults": 3, "killed": 1, "interrupted": 0, "refused in one line": 0, "one of two refused": 0,
        "went on to its end": 1, "same bytes after it": 2, "wrong": 1,
    }  # fmt: skip
    assert table.loc["two at once", "one of two refused"] == 2
    assert table.loc["full disk", "refused in one line"] == table.loc["SIGTERM", "interrupted"] == 1
    assert table.loc["all", ["faults", "same bytes after it", "wrong"]].tolist() == [7, 6, 1]
    assert endurance.wrong_endings(folder)["outcome"].tolist() == ["a traceback: EOFError"]
    assert endurance.met(folder).set_index("command").loc["render", "kill -9"] == 2


def test_spoilt_inputs_are_counted_by_reader(tmp_path: Path) -> None:
    assert endurance.spoilt_inputs(tmp_path).empty
    (tmp_path / "fuzz.csv").write_text("reader,refused,read,longest,wrong\nvideos,90,10,1.25,\nCSV,3,0,0.1,a hang\n")
    table = endurance.spoilt_inputs(tmp_path).set_index("reader")
    assert table.loc["videos"].to_dict() == {"refused in one line": 90, "read": 10, "longest, s": 1.25, "wrong": ""}
    assert table.loc["CSV", "wrong"] == "a hang"


def test_what_is_identical_and_what_differs(folder: Path) -> None:
    frames, commands = endurance.frame_differences(folder), endurance.identical_commands(folder)
    assert frames["small"].to_dict() == {"a second run": 0, "4 threads": 2e-6}
    assert commands.to_dict("records") == [{"against": "a second run", "commands": 2, "identical": 1}]
    same, apart = charts.differences(frames, commands, "words").figure.axes
    assert [line.get_xydata().tolist() for line in same.lines] == [[[0, 0]]]
    assert [text.get_text() for text in same.texts] == ["1 of 2"]
    assert [2e-6, 1] in [line.get_xydata().tolist()[0] for line in apart.lines if len(line.get_xydata())]


def test_a_leak_is_seen(folder: Path) -> None:
    (run,) = endurance.flatness(folder).to_dict("records")
    assert [run["MiB after a tenth"], run["MiB at half"], run["MiB at the end"]] == [312, 340, 376]
    assert [run["done"], run["of"], run["temporary files left"]] == [400, "steps", 2]
    assert run["most open files"] == 9
    assert len(endurance.long_runs(folder)["training"]) == 40  # without the row that says what is left


def test_dates_and_what_was_not_measured(folder: Path, tmp_path: Path) -> None:
    (folder / "soak.csv").unlink()
    table = endurance.provenance(folder).set_index("rows of")
    assert table.loc["faults"].tolist() == [7, "2026-01-02", "abc", "make faults"]
    assert table.loc["soak"].tolist() == [0, "not measured", "", "make soak"]
    nowhere = tmp_path / "none"
    tables = [endurance.fault_counts, endurance.met, endurance.wrong_endings, endurance.identical_commands]
    assert all(table(nowhere).empty for table in [*tables, endurance.frame_differences, endurance.flatness])
    pages = [
        charts.differences(endurance.frame_differences(nowhere), endurance.identical_commands(nowhere), "words"),
        charts.counts(endurance.fault_counts(nowhere), "faults", endurance.EFFECTS, "wrong", "words"),
        charts.long_runs({}, endurance.QUANTITIES, endurance.ITEMS, "words"),
    ]
    assert all("not measured" in [text.get_text() for text in page.figure.findobj(_is_text)] for page in pages)


def test_bars_have_their_counts(folder: Path) -> None:
    table = endurance.fault_counts(folder)[:-1]
    page = charts.counts(table, "faults", endurance.EFFECTS, "same bytes after it", "words")
    axes = page.figure.axes[0]
    assert axes.texts[0].get_text() == "2 of 3 same bytes after it"
    lengths = [sum(bar.get_width() for bar in bars) for bars in axes.containers]
    assert math.fsum(lengths[:-1]) == 6  # what the seventh did is not known
    assert lengths[-1] == 7


@pytest.mark.parametrize("name", ["faults", "fuzz", "repeatability", "soak"])
def test_damaged_files_are_refused(folder: Path, name: str) -> None:
    (folder / f"{name}.csv").write_text("a,b\n1,2\n")
    readers = endurance.fault_counts, endurance.spoilt_inputs, endurance.frame_differences, endurance.flatness
    with pytest.raises(InputError, match=rf"{name}\.csv cannot be read .* make it again \(make "):
        [read(folder) for read in readers]
    (folder / f"{name}.json").write_text("[]")
    with pytest.raises(InputError, match=rf"{name}\.json cannot be read|{name}\.csv cannot"):
        endurance.provenance(folder)


def _is_text(artist: object) -> bool:
    return hasattr(artist, "get_text")
