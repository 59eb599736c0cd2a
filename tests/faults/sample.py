"""A seeded sample of the faults, of spoilt input and of what claims something huge: part of ``make test``."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from faults.__main__ import Stage, disturb  # first: it sets the number of threads
from faults.bombs import BOMBS, explode
from faults.fuzz import READERS, fuzz
from faults.jobs import JOBS

#: Faults that are quick, each with what it meets.
FAULTS = (
    ("kill -9", "interpolate to a folder"),
    ("damaged file", "interpolate to a folder"),
    ("network", "download"),
    ("kill -9", "download"),
    ("two at once", "download"),
    ("no permission", "train"),
)


def main() -> int:
    """Print a line for each that ended wrong, and how many there were."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--inputs", type=int, default=12, help="for each reader")
    args = parser.parse_args()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="sample-") as scratch:
        os.chmod(scratch, 0o755)
        names = dict.fromkeys(name for _, name in FAULTS)
        stages = {name: Stage(JOBS[name], Path(scratch) / name.replace(" ", "_")) for name in names}
        for number, (fault, name) in enumerate(FAULTS):
            wrong += [
                str(row) for row in disturb(stages[name], fault, number, args.seed) if row.outcome != "same bytes"
            ]
        for number, name in enumerate(BOMBS):
            if said := explode(name, Path(scratch) / f"bomb{number}"):
                wrong.append(f"{name}: {said}")
    for name in READERS:
        if said := fuzz(name, args.inputs, args.seed).wrong:
            wrong.append(f"{name}: {said}")
    print(*wrong, sep="\n")
    print(
        f"{len(FAULTS)} faults, {len(BOMBS)} bombs, {len(READERS) * args.inputs} spoilt inputs,",
        f"{len(wrong)} ended wrong",
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
