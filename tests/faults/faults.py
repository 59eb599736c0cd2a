"""Faults at random moments: a command is disturbed, run again undisturbed, and has to leave the same bytes.

Whatever happens, it says one clear line or nothing, prints no traceback, leaves no process and no half-written file
under a final name.
"""

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from faults.children import Child
from faults.jobs import JOBS, PORT, Job, contents
from server import Server, serving

# Lines that a command may print besides its error: notes, and the news of a download.
_NEWS = re.compile(r"eqvi: note: |.*; resuming at |.*: checking |.*%\|")


class Row(NamedTuple):
    """One fault.

    Attributes:
        number: of the fault.
        fault: its kind.
        command: what was disturbed.
        detail: when or how.
        effect: what the disturbed command did.
        outcome: how it ended: ``same bytes``, or what is wrong.
    """

    number: int
    fault: str
    command: str
    detail: str
    effect: str
    outcome: str


class Wrong(Exception):
    """What must not happen."""


class Stage:
    """A job with its inputs, and how it ends undisturbed.

    Attributes:
        job: the command.
        given, out: folders of its inputs and outputs, for each fault anew at the same place.
        seconds: that it takes.
    """

    def __init__(self, job: Job, root: Path) -> None:
        self.job, self.root = job, root
        self._master, self.given, self.out = root / "master", root / "given", root / "out"
        shutil.rmtree(self._master, ignore_errors=True)  # of a preparation that failed
        self._master.mkdir(parents=True)
        status = Child(lambda: job.prepare(self._master) or 0, root / "log", "prepare").wait()
        if status:
            raise Wrong(f"{job.name} could not be prepared: {(root / 'log').read_text()}")
        self.number = 0
        self.clear()
        began = time.monotonic()
        self.run()
        self.seconds = time.monotonic() - began
        self.truth = contents(self.out)
        self.clear()
        self.run()
        if difference := _difference(contents(self.out), self.truth):
            raise Wrong(f"{job.name} differs from run to run: {difference}")

    def clear(self) -> None:
        """Inputs as they were, no outputs."""
        for folder in (self.given, self.out):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self._master, self.given)
        self.out.mkdir()
        self.out.chmod(0o777)

    def restore(self) -> None:
        """The inputs as they were; the outputs stay."""
        shutil.rmtree(self.given)
        shutil.copytree(self._master, self.given)

    def start(self, powerless: bool = False) -> Child:
        """The command in a process of its own."""
        self.number += 1
        log = self.root / f"log{self.number % 4}"
        log.unlink(missing_ok=True)
        return Child(lambda: self.job.run(self.given, self.out), log, f"{self.root.name}-{self.number}", powerless)

    def run(self) -> None:
        """Run it undisturbed to its end."""
        with serving_archive(self):
            child = self.start()
            status = child.wait()
        if status is None:
            child.kill()
            raise Wrong("undisturbed, it hangs")
        if status:
            raise Wrong(f"undisturbed, it ends with status {status}: {child.said()[-600:]}")
        self._check_orphans(child)

    def judge(self, child: Child, status: int | None) -> str:
        """What a disturbed command did; it may succeed, say one line, or have been killed."""
        said = child.said()
        if "Traceback (most recent call last)" in said:
            raise Wrong(f"a traceback: {said[-900:]}")
        if status is None:
            child.kill()
            raise Wrong(f"it hangs: {said[-300:]}")
        self._check_orphans(child)
        self.check_whole()
        if status in (0, -signal.SIGKILL, -signal.SIGTERM):
            return "succeeded" if status == 0 else "killed"
        if status == 128 + signal.SIGTERM and said.count("eqvi: interrupted") == 1:
            return "interrupted"
        errors = [line for line in said.splitlines() if line.startswith("eqvi: error: ")]
        if self.job.name == "study" and status == 1:  # a failed notebook is said in a line of its own
            errors = [line for line in said.splitlines() if " failed: " in line]
        if status not in (1, 2) or len(errors) != 1:
            raise Wrong(f"status {status}, {len(errors)} error lines: {said[-600:]}")
        return "refused: " + errors[0].removeprefix("eqvi: error: ").replace(f"{self.root}/", "")[:240]

    def _check_orphans(self, child: Child) -> None:
        if left := child.orphans():
            raise Wrong(f"processes left: {left}")

    def check_whole(self) -> None:
        """Every file with a final name is complete."""
        for name in {str(path.relative_to(self.out)) for each in self.job.whole for path in self.out.glob(each)}:
            path = self.out / name
            hidden = any(part.startswith(".") for part in Path(name).parts)
            if path.is_file() and not hidden and contents(self.out).get(name) != self.truth.get(name):
                raise Wrong(f"{name} is there, but not as it will be")

    def finish(self) -> str:
        """Run it to its end, and compare what it leaves with what it leaves undisturbed."""
        self.run()
        return _difference(contents(self.out), self.truth) or "same bytes"


def _difference(files: dict[str, bytes], truth: dict[str, bytes]) -> str:
    if missing := truth.keys() - files.keys():
        return f"lacks {min(missing)}"
    if more := files.keys() - truth.keys():
        return f"has {min(more)} besides"
    return next((f"{name} differs" for name in truth if files[name] != truth[name]), "")


@contextlib.contextmanager
def serving_archive(stage: Stage, change: Callable[[Server], None] = lambda _: None) -> Iterator[Server | None]:
    """The server that a download asks."""
    if stage.job.name != "download":
        yield None
        return
    with serving(PORT) as server:
        server.files = {f"/{path.name}": path.read_bytes() for path in (stage.given / "archives").iterdir()}
        server.pace = 0.004
        change(server)
        yield server


def kill(stage: Stage, rng: random.Random) -> tuple[str, str]:
    """SIGKILL at a random moment."""
    moment = rng.uniform(0, stage.seconds)
    with serving_archive(stage):
        child = stage.start()
        status = child.wait(moment)
        effect = stage.judge(child, child.kill() if status is None else status)
    return f"after {moment:.2f} s", effect


def terminate(stage: Stage, rng: random.Random) -> tuple[str, str]:
    """SIGTERM at a random moment: nothing hidden is left but what the next run goes on from."""
    moment = rng.uniform(0, stage.seconds)
    with serving_archive(stage):
        child = stage.start()
        status = child.wait(moment)
        if status is None:
            os.kill(child.pid, signal.SIGTERM)
        effect = stage.judge(child, child.wait())
    hidden = {path for path in stage.out.rglob(".*") if path.is_file() and path.name != ".lock"}
    if left := hidden.difference(_matching(stage.out, stage.job.caches)):
        raise Wrong(f"left: {min(left).relative_to(stage.out)}")
    return f"after {moment:.2f} s", effect


def fill_disk(stage: Stage, rng: random.Random) -> tuple[str, str]:
    """The disk of the outputs has less room than they need; then it has."""
    needed = sum(map(len, stage.truth.values()))
    size = max(1, round(rng.uniform(0, 1.1) * needed / 4096)) * 4
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k,mode=777", "tmpfs", stage.out], check=True)
    with serving_archive(stage):
        child = stage.start()
        effect = stage.judge(child, child.wait())
    subprocess.run(["mount", "-o", "remount,size=256m", stage.out], check=True)
    return f"{size} kB for {needed // 1024}", effect


def forbid(stage: Stage, rng: random.Random) -> tuple[str, str]:
    """A user who may not write: from the beginning, or from a random moment on, to a random folder of the outputs."""
    late = rng.random() < 0.7
    moment = rng.uniform(0, stage.seconds) if late else 0.0
    if not late:
        stage.out.chmod(0o555)
    with serving_archive(stage):
        child = stage.start(powerless=True)
        status = child.wait(moment)
        folders = sorted(path for path in stage.out.rglob("*") if path.is_dir())
        folder = rng.choice([stage.out, *folders])
        with contextlib.suppress(FileNotFoundError):  # it may just have been renamed
            folder.chmod(0o555)
        effect = stage.judge(child, child.wait() if status is None else status)
    for path in (stage.out, *stage.out.rglob("*")):
        if path.is_dir():
            path.chmod(0o777)
    return f"{folder.relative_to(stage.root)} after {moment:.2f} s", effect


def cut_network(stage: Stage, rng: random.Random) -> tuple[str, str]:
    """Connections that break, servers that fall silent, fail, change the file or disappear."""
    how = rng.choice(["breaks", "breaks", "breaks", "is silent", "fails", "changes the file", "is not there"])
    size = (stage.given / "archives" / "val_15fps.zip").stat().st_size
    count = rng.randint(1, 12)
    cuts = [None, *(rng.randrange(size) for _ in range(count))]

    def change(server: Server) -> None:
        server.pace = 0.0
        if how in ("breaks", "is silent", "changes the file"):
            server.cuts, server.silent = cuts if how == "breaks" else cuts[:2], how == "is silent"
        if how == "fails":
            server.status = rng.choice([500, 503, 404])

    if how == "is not there":
        child = stage.start()
        return how, stage.judge(child, child.wait())
    with serving_archive(stage, change) as server:
        child = stage.start()
        if how == "changes the file":
            child.wait(rng.uniform(0, 0.3))
            server.tag = '"2"'
        effect = stage.judge(child, child.wait())
    return f"{how}, {count} times" if how == "breaks" else how, effect


def damage(stage: Stage, rng: random.Random) -> tuple[str, str]:
    """A file is cut, emptied, or has some bits turned: of the inputs, or of what an interrupted run left."""
    kinds = [kind for kind in ("input", "cache") if (stage.job.inputs if kind == "input" else stage.job.caches)]
    kind = rng.choice(kinds)
    if kind == "cache":
        for share in (0.7, 0.9, 1.0):  # a run that is interrupted late leaves most
            with serving_archive(stage):
                child = stage.start()
                if child.wait(share * stage.seconds * rng.uniform(0.6, 1)) is None:
                    child.kill()
                stage._check_orphans(child)
            if paths := _matching(stage.out, stage.job.caches):
                break
    else:
        paths = _matching(stage.given, stage.job.inputs)
    if not paths:
        return "nothing to damage", "left out"
    path, how = rng.choice(paths), rng.choice(["cut", "emptied", "bits turned", "other bytes"])
    content, stamp = bytearray(path.read_bytes()), path.stat()
    if how == "cut":
        content = content[: rng.randrange(len(content) or 1)]
    elif how == "emptied":
        content.clear()
    elif how == "other bytes":
        content = bytearray(rng.randbytes(len(content)))
    else:
        for _ in range(rng.choice([1, 1, 8])):
            if content:
                content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    name = str(path.relative_to(stage.root))
    with serving_archive(stage):
        child = stage.start()
        effect = judge_damaged(stage, child)
    if kind == "input":
        stage.restore()
        # What the damaged input gave is made anew; two commands say that their interrupted run is of other data.
        if not effect.startswith("refused") or stage.job.name in ("evaluate", "interpolate to a folder"):
            _clear_outputs(stage)
    elif effect.startswith("refused") and "train again" in effect:
        _clear_outputs(stage)
    elif effect.startswith("refused") and path.exists():
        _follow_advice(stage, path)
    return f"{name} {how}", effect


def judge_damaged(stage: Stage, child: Child) -> str:
    """As `Stage.judge`; a damaged file may be under its final name, and other outputs may come of a damaged input."""
    job, stage.job = stage.job, stage.job._replace(whole=())
    try:
        return stage.judge(child, child.wait())
    finally:
        stage.job = job


def _clear_outputs(stage: Stage) -> None:
    shutil.rmtree(stage.out, ignore_errors=True)
    stage.out.mkdir()
    stage.out.chmod(0o777)


def _follow_advice(stage: Stage, path: Path) -> None:
    """Remove what a message says to remove: the file, or where that is not enough all that was made."""
    path.unlink(missing_ok=True)
    with serving_archive(stage):
        child = stage.start()
        status = child.wait()
    if status:
        _clear_outputs(stage)


def _matching(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    found = {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    return sorted(path for path in found if path.name != ".lock" and not path.name.endswith(".lock"))


def run_two(stage: Stage, rng: random.Random) -> tuple[str, str]:
    """The same command twice at once, the second somewhat later."""
    pause = rng.uniform(0, stage.seconds)
    with serving_archive(stage):
        first = stage.start()
        time.sleep(pause)
        second = stage.start()
        effects = [(child, child.wait()) for child in (first, second)]
        words = [stage.judge(child, status) for child, status in effects]
    return f"{pause:.2f} s apart", words[0] if words[0] == words[1] else f"{words[0]}; {words[1]}"


# Those that are carried out by the command line, which receives signals.
_COMMANDS = ("interpolate to a folder", "interpolate to a video", "evaluate", "render", "download", "study")

#: The kinds of faults: their name, what they do, and which commands they can meet.
FAULTS: dict[str, tuple[Callable[[Stage, random.Random], tuple[str, str]], tuple[str, ...]]] = {
    "kill -9": (kill, tuple(JOBS)),
    "SIGTERM": (terminate, _COMMANDS),
    "full disk": (fill_disk, tuple(JOBS)),
    "no permission": (forbid, tuple(name for name in JOBS if name != "study")),
    "network": (cut_network, ("download",)),
    "damaged file": (damage, tuple(name for name, job in JOBS.items() if job.inputs or job.caches)),
    "two at once": (run_two, tuple(JOBS)),
}


def disturb(stage: Stage, fault: str, number: int, seed: int) -> list[Row]:
    """Disturb a command once, or kill it up to three times in a row, and run it to its end."""
    rng = random.Random(f"{seed} {number} {fault} {stage.job.name}")
    inflict = FAULTS[fault][0]
    rows: list[Row] = []
    stage.clear()
    try:
        for _ in range(rng.randint(1, 3) if fault == "kill -9" else 1):
            detail, effect = inflict(stage, rng)
            rows.append(Row(number + len(rows), fault, stage.job.name, detail, effect, ""))
        outcome = stage.finish()
    except Wrong as wrong:
        outcome = str(wrong)
        rows = rows or [Row(number, fault, stage.job.name, "", "", "")]
    finally:
        while os.path.ismount(stage.out):
            subprocess.run(["umount", "--lazy", stage.out], check=True)
    return [row._replace(outcome=outcome) for row in rows]
