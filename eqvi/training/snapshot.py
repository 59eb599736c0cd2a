"""The state of a run on disk: everything that going on needs, so that a run that was killed ends as one that was not.

Weights, averaged weights, optimiser, step (from which follow the position in the data, the learning rate and every
random draw), the state of torch's own generators, and the recipe, which must be the same.
"""

from pathlib import Path
from typing import Any

import torch

from eqvi.errors import InputError
from eqvi.files import replacing

FILE = "state.pt"


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Write the state of a run beside the last one, then in its place: on a full disk or a kill the last one survives.

    Raises:
        InputError: it cannot be written.
    """
    path = folder / FILE
    random = {"torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        random["cuda"] = torch.cuda.get_rng_state()
    try:
        with replacing(path, sync=True) as partial:
            torch.save(state | {"random": random}, partial)
    except RuntimeError:  # torch's zip writer turns a full disk into one
        raise InputError(f"{path}: cannot be written: is the disk full? The last good state is kept") from None


def load_state(folder: Path) -> dict[str, Any] | None:
    """The state of the run in `folder`, and torch's generators set to it; None where there is none.

    Raises:
        InputError: it cannot be read.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        torch.set_rng_state(state["random"]["torch"])
    except Exception as error:  # a damaged pickle can fail in any way
        raise InputError(f"{path}: cannot be read ({type(error).__name__}): remove it to start anew") from None
    if "cuda" in state["random"] and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["random"]["cuda"])
    return state
