"""Files and folders are written whole or not at all; a lock keeps others out until its process ends."""

import multiprocessing
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from eqvi.errors import InputError
from eqvi.files import exclusive, replacing, replacing_folder

HOLD = """
import sys, time
from pathlib import Path
from eqvi.files import exclusive
with exclusive(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(60)
"""


def interrupt_after_writing(path: Path) -> None:
    path.write_text("half")
    raise KeyboardInterrupt


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestReplacing:
    @pytest.mark.parametrize("sync", [False, True])
    def test_a_file_is_replaced(self, tmp_path: Path, sync: bool) -> None:
        path = tmp_path / "a.txt"
        path.write_text("old")
        with replacing(path, sync) as partial:
            partial.write_text("new")
            assert path.read_text() == "old"
        assert path.read_text() == "new"
        assert names(tmp_path) == ["a.txt"]

    def test_a_failure_leaves_the_last_file(self, tmp_path: Path) -> None:
        path = tmp_path / "a.txt"
        path.write_text("old")
        with pytest.raises(KeyboardInterrupt), replacing(path) as partial:
            interrupt_after_writing(partial)
        assert path.read_text() == "old"
        assert names(tmp_path) == ["a.txt"]

    def test_a_missing_folder_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "nowhere" / "a.txt"
        with pytest.raises(InputError, match=r"a\.txt: cannot be written: No such file"), replacing(path) as partial:
            partial.write_text("new")

    def test_two_at_once_are_refused_and_the_first_is_not_touched(self, tmp_path: Path) -> None:
        path = tmp_path / "a.txt"
        refusal = "another process writes it now: wait for its end, or give another name"
        with replacing(path) as partial:
            partial.write_text("first")
            with pytest.raises(InputError, match=refusal), replacing(path, patience=0) as other:
                other.write_text("second")
        assert path.read_text() == "first"
        with replacing(path, patience=0) as partial:
            partial.write_text("afterwards")
        assert names(tmp_path) == ["a.txt"]

    def test_a_name_of_250_bytes_can_be_written(self, tmp_path: Path) -> None:
        path = tmp_path / ("x" * 250 + ".txt")
        with replacing(path) as partial:
            partial.write_text("long")
        assert names(tmp_path) == [path.name]


class TestReplacingAFolder:
    def test_two_at_once_are_refused_and_the_first_is_not_touched(self, tmp_path: Path) -> None:
        folder = tmp_path / "site"
        with replacing_folder(folder) as partial:
            (partial / "page").write_text("first")
            with pytest.raises(InputError, match="site: another process writes it now"), replacing_folder(folder):
                pass
        assert names(folder) == ["page"]
        assert names(tmp_path) == ["site"]

    def test_a_folder_is_replaced(self, tmp_path: Path) -> None:
        folder = tmp_path / "clip"
        for name in ("first", "second"):
            with replacing_folder(folder) as partial:
                (partial / name).touch()
            assert names(folder) == [name]
        assert names(tmp_path) == ["clip"]

    def test_a_failure_leaves_the_last_folder(self, tmp_path: Path) -> None:
        folder = tmp_path / "clip"
        with replacing_folder(folder) as partial:
            (partial / "first").touch()
        with pytest.raises(KeyboardInterrupt), replacing_folder(folder) as partial:
            interrupt_after_writing(partial / "second")
        assert names(folder) == ["first"]
        assert names(tmp_path) == ["clip"]

    def test_what_a_kill_left_is_cleared_away(self, tmp_path: Path) -> None:
        (tmp_path / ".clip.part").mkdir()
        (tmp_path / ".clip.part" / "half").touch()
        with replacing_folder(tmp_path / "clip") as partial:
            assert names(partial) == []
        assert names(tmp_path) == ["clip"]

    def test_a_file_in_the_way_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(InputError, match="clip: cannot be written"), replacing_folder(tmp_path / "file" / "clip"):
            pass


class TestExclusive:
    def test_a_second_process_is_refused_until_the_first_is_killed(self, tmp_path: Path) -> None:
        process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        refusal = "another process works there now: wait, or give another folder"
        with pytest.raises(InputError, match=refusal) as caught, exclusive(tmp_path):
            pass
        assert "\n" not in str(caught.value)
        process.kill()
        process.wait()
        process.stdout.close()
        with exclusive(tmp_path):
            assert names(tmp_path) == [".lock"]

    def test_waiting_processes_come_one_after_the_other(self, tmp_path: Path) -> None:
        with multiprocessing.get_context("spawn").Pool(3) as pool:
            pool.map(_append, [tmp_path] * 6)
        assert (tmp_path / "log").read_text() == "in out " * 6

    def test_a_folder_may_be_removed_while_it_is_locked(self, tmp_path: Path) -> None:
        with exclusive(tmp_path / "run"):
            shutil.rmtree(tmp_path / "run")
        assert names(tmp_path) == []

    def test_a_folder_that_cannot_be_made_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(InputError, match="run: cannot be written"), exclusive(tmp_path / "file" / "run"):
            pass


def _append(folder: Path) -> None:
    with exclusive(folder, wait=True), (folder / "log").open("a") as log:
        log.write("in ")
        log.flush()
        log.write("out ")
