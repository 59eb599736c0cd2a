"""Models that are measured together compute the flows that they share once."""

import hashlib
from collections import OrderedDict

import numpy as np

from eqvi.model.classical_flow import DIS
from eqvi.model.eqvi import EQVI

#: Flows that are remembered: those of a window of eight frames, and of the window before.
REMEMBERED = 40


class SharedDIS(DIS):
    """DIS that remembers its latest flows by the pictures' content, for all models that have it."""

    def __init__(self) -> None:
        super().__init__()
        self._flows: OrderedDict[bytes, np.ndarray] = OrderedDict()

    def pair(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """As of DIS."""
        key = _digest(a) + _digest(b)
        flow = self._flows.pop(key, None)
        self._flows[key] = flow = super().pair(a, b) if flow is None else flow
        if len(self._flows) > REMEMBERED:
            self._flows.popitem(last=False)
        return flow


def with_shared_flow(model: EQVI, shared: SharedDIS) -> EQVI:
    """The model, with that flow if it is of its kind."""
    if model.config.flow == "dis":
        model.flow = shared
    return model


def _digest(picture: np.ndarray) -> bytes:
    shape = f"{picture.shape}{picture.dtype}".encode()
    return hashlib.blake2b(np.ascontiguousarray(picture).tobytes() + shape, digest_size=16).digest()
