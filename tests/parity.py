"""Write results/parity.csv, the parity of our model on the CPU: ``python tests/parity.py``."""

import csv
import tempfile
from pathlib import Path

import torch

from eqvi.evaluation.parity import load_models, stages
from eqvi.files import replacing
from eqvi.paths import RESULTS


def main() -> None:
    """Write the table of results/."""
    path = RESULTS / "parity.csv"
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            (stage.case, stage.name, f"{stage.error:.1e}", f"{100 * stage.exceeding:.3f}")
            for stage in stages(load_models(Path(folder)), torch.device("cpu"))
        ]
    with replacing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("case", "stage", "largest difference", "pixels beyond 1e-4 (%)"))
        writer.writerows(rows)
    print(f"{len(rows)} stages: {path}")


if __name__ == "__main__":
    main()
