"""The folders of the project; no other file names them."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent
NOTEBOOKS = ROOT / "notebooks"
PARAMS = NOTEBOOKS / "params"
FIGURES = ROOT / "figures"
RESULTS = ROOT / "results"
WEIGHTS = RESULTS / "weights"
BUILD = ROOT / "build"
