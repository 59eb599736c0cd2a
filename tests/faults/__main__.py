"""Disturb the study's commands, a row for each fault: ``make faults``, or ``python -m faults`` with tests/ in the path.

The rows go to ``faults.csv`` in a folder, what they were made with to ``faults.json`` beside it.
"""

import argparse
import collections
import datetime
import itertools
import math
import os
import random
import sys
import tempfile
import time
import warnings
from pathlib import Path

# Before torch is imported: a fork must not copy a thread pool.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "agg", "TQDM_DISABLE": "1"}
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)

from faults.faults import FAULTS, Row, Stage, Wrong, disturb  # noqa: E402
from faults.jobs import JOBS  # noqa: E402

from eqvi.evaluation.journal import write_rows  # noqa: E402
from eqvi.provenance import surroundings  # noqa: E402


def may(fault: str) -> bool:
    """Whether this kind of fault can be made here: a small disk is mounted by root."""
    return os.geteuid() == 0 or fault != "full disk"


def main() -> int:
    """Inflict faults in turn on every command; 1 if one of them ended wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=240, help="faults")
    parser.add_argument("--minutes", type=float, default=math.inf, help="after which no other fault is begun")
    parser.add_argument("--commands", nargs="+", metavar="NAME", help="these only")
    parser.add_argument("--faults", nargs="+", metavar="KIND", help="these only")
    parser.add_argument("--only", type=int, help="the fault of that number only")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="of the rows; without it they are printed")
    args, began = parser.parse_args(), time.monotonic()
    pairs = [
        (fault, name)
        for fault, (_, names) in FAULTS.items()
        for name in names
        if (not args.faults or fault in args.faults) and (not args.commands or name in args.commands) and may(fault)
    ]
    # Every pair in turn; what takes a second comes more often, and so does the network, which one command asks.
    pairs += [pair for pair in pairs if pair[1] not in ("train", "study", "pool of windows")] * 2
    pairs += [pair for pair in pairs if pair[0] == "network"] * 3
    random.Random(args.seed).shuffle(pairs)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="faults-") as scratch:
        os.chmod(scratch, 0o755)
        stages: dict[str, Stage] = {}
        for fault, name in itertools.cycle(pairs):
            if len(rows) >= args.count or time.monotonic() > began + 60 * args.minutes:
                break
            if args.only is not None and len(rows) != args.only:
                rows.append(Row(len(rows), fault, name, "", "", ""))
                continue
            try:
                if name not in stages:
                    stages[name] = Stage(JOBS[name], Path(scratch) / name.replace(" ", "_"))
                made = disturb(stages[name], fault, len(rows), args.seed)
            except Wrong as wrong:
                made = [Row(len(rows), fault, name, "", "", str(wrong))]
            for row in made:
                if row.effect != "left out":
                    rows.append(row)
                    print(*row, sep=" | ", flush=True)
    rows = [row for row in rows if row.outcome]
    bad = [row for row in rows if row.outcome != "same bytes"]
    for fault, count in collections.Counter(row.fault for row in rows).items():
        print(f"{fault}: {count}")
    print(f"{len(rows)} faults, {len(bad)} of them ended wrong")
    if args.out is not None:
        packages = ("torch", "numpy", "opencv-python-headless", "av", "pillow", "filelock")
        made = {"seed": args.seed, "count": len(rows), "minutes": round((time.monotonic() - began) / 60, 1)}
        record = {**made, "date": datetime.date.today().isoformat(), **surroundings("cpu", packages)}
        header, run = ("seed", "commit", *Row._fields), (args.seed, record["commit"])
        write_rows(args.out / "faults.csv", header, [(*run, *row) for row in rows], record)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
