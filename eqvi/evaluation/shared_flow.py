"""Models that are measured together compute what they share once: flows between the same pictures."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eqvi.model.eqvi import EQVI

#: Flows that are remembered: those of a window of eight frames, and of the window before.
REMEMBERED = 40
#: Pictures whose features are remembered: a flow network's take some tens of megabytes for a frame of 1280x720.
PICTURES = 12


class Known(NamedTuple):
    """A picture's features, and what tells it from others."""

    key: bytes
    features: Any


class SharedFlow(nn.Module):
    """Stands in for a flow estimator, whose latest results it remembers by the pictures' content.

    Args:
        estimator: anything with the calls of `eqvi.model.scopeflow.ScopeFlow`, in evaluation mode.
    """

    def __init__(self, estimator: Any) -> None:
        super().__init__()
        self.estimator = estimator
        self._features: OrderedDict[bytes, Any] = OrderedDict()
        self._flows: OrderedDict[bytes, Tensor] = OrderedDict()
        self._asked = threading.Lock()  # two models at once: one computes, the other finds

    def features(self, image: Float[Tensor, "b 3 h w"]) -> Known:
        """As of the estimator."""
        key = _digest(image)
        with self._asked:
            return Known(key, _remembered(self._features, PICTURES, key, lambda: self.estimator.features(image)))

    def between(self, first: Known, second: Known) -> Float[Tensor, "b 2 h w"]:
        """As of the estimator."""
        return self.between_all([(first, second)])[0]

    def between_all(self, pairs: Sequence[tuple[Known, Known]]) -> list[Float[Tensor, "b 2 h w"]]:
        """As of the estimator, which is asked for the new ones together."""
        keyed = [(a.key + b.key, (a.features, b.features)) for a, b in pairs]
        with self._asked:
            new = {key: pair for key, pair in keyed if key not in self._flows}
            found = dict(self._flows)
            if new:
                found |= zip(new, self.estimator.between_all(list(new.values())), strict=True)
            return [_remembered(self._flows, REMEMBERED, key, partial(found.get, key)) for key, _ in keyed]

    def forward(self, image_a: Float[Tensor, "b 3 h w"], image_b: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 2 h w"]:
        """As of the estimator."""
        return self.between(self.features(image_a), self.features(image_b))


class SharedFlows:
    """One `SharedFlow` for all models whose estimators are of one kind and have the same weights."""

    def __init__(self) -> None:
        self._shared: dict[str, SharedFlow] = {}

    def share(self, model: EQVI) -> None:
        """Put the shared estimator into the model, or make the model's own one the shared one."""
        key = _identity(model.flow)
        if key not in self._shared:
            self._shared[key] = SharedFlow(model.flow)
        model.flow = self._shared[key]  # type: ignore[assignment] # it has the same calls


def _remembered(results: "OrderedDict[bytes, Any]", most: int, key: bytes, compute: Callable[[], Any]) -> Any:
    """The result of that key, computed if it is not there; of all results the latest are kept."""
    results[key] = result = results.pop(key) if key in results else compute()
    while len(results) > most:
        results.popitem(last=False)
    return result


def _identity(estimator: nn.Module) -> str:
    """Equal for estimators that give equal flows: their kind, their numbers, their weights."""
    settings = {name: value for name, value in vars(estimator).items() if isinstance(value, (int, float, str))}
    digest = hashlib.blake2b(f"{type(estimator).__qualname__}{sorted(settings.items())}".encode(), digest_size=16)
    for name, weight in estimator.state_dict().items():
        digest.update(f"{name}{weight.device}".encode() + _bytes(weight))
    return digest.hexdigest()


def _digest(picture: Tensor) -> bytes:
    shape = f"{tuple(picture.shape)}{picture.dtype}".encode()
    return hashlib.blake2b(_bytes(picture) + shape, digest_size=16).digest()


def _bytes(values: Tensor) -> bytes:
    return values.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes()
