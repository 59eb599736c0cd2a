"""Spoilt input for every reader: each is refused in one clear line, in bounded time and memory.

``python -m faults.fuzz`` with tests/ in the path. Hypothesis spoils good examples and makes others from nothing; a
reader runs in a process with limits of its own.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "agg", "TQDM_DISABLE": "1"}

from faults.children import Child
from faults.readers import READERS, Reader
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from eqvi.errors import InputError

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


def check(reader: Reader, count: int, number: int, folder: Path) -> None:
    """Read so many inputs; the first that is not answered in one line is raised."""
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
        path = folder / "input" / f"001{suffix}"
        for old in (folder / "input").glob("001.*"):
            old.unlink()
        path.write_bytes(content)
        signal.alarm(SECONDS)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                reader.read(path)
        except InputError as error:
            text = str(error)
            if "\n" in text or len(text) > 1500:
                raise AssertionError(
                    f"a message of {len(text)} characters and {text.count(chr(10))} line ends: {text[:200]!r}"
                ) from None
        finally:
            signal.alarm(0)

    read()


def _too_long(*_: object) -> None:
    raise TimeoutError(f"more than {SECONDS} s")


def fuzz(name: str, count: int, number: int, keep: Path | None = None) -> str:
    """Spoil the input of one reader in a process with limits; what went wrong, if anything."""
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
        if status == 0:
            return ""
        spoiled = next((folder / "input").glob("001.*"), None)
        if keep is not None and spoiled is not None:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / f"{name.replace(' ', '_')}{spoiled.suffix}").write_bytes(spoiled.read_bytes())
        lines = child.said().partition("Failing test case")[0].splitlines()
        return f"status {status}: " + "\n".join(line[:300] for line in lines[-9:])


def main() -> int:
    """Fuzz every reader; 1 if one of them fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=2000, help="inputs for each reader")
    parser.add_argument("--readers", nargs="+", choices=list(READERS), default=list(READERS), metavar="NAME")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="for inputs that were not answered")
    args = parser.parse_args()
    failed = 0
    for name in args.readers:
        began = time.monotonic()
        wrong = fuzz(name, args.count, args.seed, args.keep)
        failed += bool(wrong)
        print(
            f"{name}: {args.count} inputs, {time.monotonic() - began:.0f} s" + (f": {wrong}" if wrong else ""),
            flush=True,
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
