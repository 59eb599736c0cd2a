"""Where things lie. The only file that knows a folder of the project."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
PARAMS = NOTEBOOKS / "params"
FIGURES = ROOT / "figures"
RESULTS = ROOT / "results"
WEIGHTS = RESULTS / "weights"
BUILD = ROOT / "build"
