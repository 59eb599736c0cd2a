"""Spoilt input for every reader: each is refused in one clear line, in bounded time and memory.

``python -m faults.fuzz`` with tests/ in the path. Hypothesis spoils good examples and makes others from nothing; a
reader runs in a process with limits of its own. A row for each reader: how many inputs it refused in one line and how
many it could read all the same, the longest time for one, and what went wrong.
"""

import argparse
import datetime
import json
import os
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import NamedTuple

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "agg", "TQDM_DISABLE": "1"}

from faults.children import Child
from faults.readers import READERS, Reader
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from eqvi.errors import InputError
from eqvi.evaluation.journal import write_rows
from eqvi.provenance import surroundings

#: Beside what the package takes itself: bytes of address space, and seconds for one input.
MEMORY = 3 << 30
SECONDS = 20

_PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
_NESTED = st.recursive(
    _PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_WORDS = st.sampled_from(
    (
        "-1", "0", "1e999", "nan", "inf", "-0", "1" * 5000, "1/0", "0x0", "1_000", "²", "4096x4096", "99999x99999",
        "[" * 2000, "{" * 2000, "{}", '"', "'", "- ", ",", ":", "--", "=", "%s", "&a", "*a", "x" * 300, "💥",
        "\0", "\r\n", "\ufeff", "../..", "/etc", "!!python/object/apply:os.system ['touch payload']",
    )
)  # fmt: skip


@st.composite
def spoilt(draw: st.DrawFn, examples: list[bytes], text: bool) -> bytes:
    """Bytes of no sense, or an example with a few changes."""
    kind = draw(st.integers(0, 19))
    if kind == 0:
        return draw(st.binary(max_size=400))
    if kind == 1 and text:
        return json.dumps(draw(_NESTED)).encode()
    content = bytearray(draw(st.sampled_from(examples)))
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, max(0, len(content) - 1)))
        how = draw(
            st.sampled_from(["turn", "cut", "remove", "insert", "repeat", "number", "splice"] + ["word"] * (3 * text))
        )
        if how == "turn" and content:
            content[place] ^= 1 << draw(st.integers(0, 7))
        elif how == "cut":
            del content[place:]
        elif how == "remove":
            del content[place : place + draw(st.integers(1, 40))]
        elif how == "insert":
            content[place:place] = draw(st.binary(min_size=1, max_size=12))
        elif how == "repeat":
            content[place:place] = content[place : place + 30] * draw(st.integers(1, 5))
        elif how == "number":  # where a size or an offset may be stored
            content[place : place + 4] = draw(
                st.sampled_from([b"\xff" * 4, b"\x7f" + b"\xff" * 3, bytes(4), b"\0\1\x86\xa0"])
            )
        elif how == "word":
            content[place : place + draw(st.integers(0, 8))] = draw(_WORDS).encode()
        else:
            other = draw(st.sampled_from(examples))
            content[place : place + 60] = other[place : place + 60]
    return bytes(content)


class Row(NamedTuple):
    """What became of one reader's inputs.

    Attributes:
        reader: one of `READERS`.
        refused, read: inputs that were refused in one clear line, and that could be read.
        longest: seconds for one of them.
        wrong: what went wrong, which ended it; empty if nothing did.
    """

    reader: str
    refused: int
    read: int
    longest: float
    wrong: str


def check(reader: Reader, count: int, number: int, folder: Path) -> None:
    """Read so many inputs; the first that is neither read nor refused is raised. Writes what became of the others."""
    answers, longest = {"refused": 0, "read": 0}, 0.0
    (folder / "examples").mkdir()
    examples = reader.examples(folder / "examples")
    suffixes = sorted({Path(name).suffix for name in examples})
    (folder / "input").mkdir()

    @seed(number)
    @settings(
        max_examples=count, database=None, deadline=None, suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,), print_blob=False,
    )  # fmt: skip
    @given(spoilt(list(examples.values()), reader.text), st.sampled_from(suffixes))
    def read(content: bytes, suffix: str) -> None:
        nonlocal longest
        path = folder / "input" / f"001{suffix}"
        for old in (folder / "input").glob("001.*"):
            old.unlink()
        path.write_bytes(content)
        signal.alarm(SECONDS)
        began, answer = time.monotonic(), "read"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                reader.read(path)
        except InputError:  # one line, whatever it quotes: tests/test_errors.py
            answer = "refused"
        finally:
            signal.alarm(0)
        answers[answer] += 1
        longest = max(longest, time.monotonic() - began)

    try:
        read()
    finally:
        (folder / "answers").write_text(json.dumps({**answers, "longest": longest}))


def _too_long(*_: object) -> None:
    raise TimeoutError(f"more than {SECONDS} s")


def fuzz(name: str, count: int, number: int, keep: Path | None = None) -> Row:
    """Spoil the input of one reader in a process with limits."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        folder = Path(scratch)

        def action() -> int:
            signal.signal(signal.SIGALRM, _too_long)
            check(READERS[name], count, number, folder)
            return 0

        child = Child(action, folder / "log", f"fuzz-{name}", memory=MEMORY)
        status = child.wait(max(60, count))
        if status is None:
            child.kill()
        answers = {"refused": 0, "read": 0, "longest": 0.0}
        if (folder / "answers").is_file():
            answers = json.loads((folder / "answers").read_text())
        if status == 0:
            return Row(name, **answers, wrong="")
        spoiled = next((folder / "input").glob("001.*"), None)
        if keep is not None and spoiled is not None:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / f"{name.replace(' ', '_')}{spoiled.suffix}").write_bytes(spoiled.read_bytes())
        lines = child.said().partition("Failing test case")[0].splitlines()
        return Row(name, **answers, wrong=f"status {status}: " + "\n".join(line[:300] for line in lines[-9:]))


def main() -> int:
    """Fuzz every reader; 1 if one of them fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=2000, help="inputs for each reader")
    parser.add_argument("--readers", nargs="+", choices=list(READERS), default=list(READERS), metavar="NAME")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="for inputs that were not answered")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="of the rows; without it they are printed only")
    args = parser.parse_args()
    rows = []
    for name in args.readers:
        row = fuzz(name, args.count, args.seed, args.keep)
        rows.append(row)
        print(
            f"{name}: {row.refused} refused, {row.read} read, at most {row.longest:.1f} s for one"
            + (f"; {row.wrong}" if row.wrong else ""),
            flush=True,
        )
    if args.out is not None:
        packages = ("torch", "opencv-python-headless", "av", "pillow", "safetensors", "pyyaml", "hypothesis")
        record = {"seed": args.seed, "count": args.count, "date": datetime.date.today().isoformat()}
        record |= {"limits": {"seconds": SECONDS, "bytes": MEMORY}, **surroundings("cpu", packages)}
        write_rows(
            args.out / "fuzz.csv", Row._fields, [(*row[:3], f"{row.longest:.2f}", row.wrong) for row in rows], record
        )
    return 1 if any(row.wrong for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
