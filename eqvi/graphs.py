"""CUDA graphs: a function's kernels recorded once and launched together, without Python between them."""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils import _pytree as pytree

#: Calls before the capture, in which libraries choose their kernels.
_WARM_UP = 3


class Captured:
    """A function of tensors, captured as a CUDA graph; called with the same arguments it gives the same results.

    Results are overwritten by the next call, and may be passed to it as arguments. Where there is no CUDA, every call
    runs the function on the same static arguments and copies to the same results: what a graph needs can be tested
    there.

    Args:
        function: of `arguments`; it must neither wait for the device nor copy from the host.
        arguments: tensors in tuples, lists, dictionaries and named tuples; every call has tensors of these shapes.
        device: where the tensors are.

    Attributes:
        peak_mib: largest memory in use while it was captured, which the graph keeps; 0 without CUDA.
        before_mib: of that, what was in use before.
        calls: of the function before the capture; 0 without CUDA.
    """

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...], device: str) -> None:
        on_gpu = torch.device(device).type == "cuda"
        self.before_mib = torch.cuda.memory_allocated(device) / 2**20 if on_gpu else 0.0
        self._function = function
        leaves, self._form = pytree.tree_flatten(arguments)
        self._places = [place for place, leaf in enumerate(leaves) if torch.is_tensor(leaf)]
        self._static = [leaf.clone() if torch.is_tensor(leaf) else leaf for leaf in leaves]
        self._scratch = [leaves[place].clone() for place in self._places]
        self._results: Any = None
        self.peak_mib, self.calls = 0.0, 0
        self._graph: Any = None
        if on_gpu:
            self._capture(torch.device(device))

    def __call__(self, *arguments: Any) -> Any:
        leaves, form = pytree.tree_flatten(arguments)
        if form != self._form:
            raise ValueError("a captured function takes arguments of the form that it was captured with")
        return self.replay(leaves)

    def replay(self, leaves: list[Any]) -> Any:
        """The same, of the arguments' tensors and other leaves in their order."""
        # By way of other memory: an argument may be a part of the last results, which may be a static argument.
        torch._foreach_copy_(self._scratch, [leaves[place] for place in self._places])
        torch._foreach_copy_([self._static[place] for place in self._places], self._scratch)
        if self._graph is None:
            self._results = self._evaluate() if self._results is None else _copied(self._evaluate(), self._results)
        else:
            self._graph.replay()
        return self._results

    def _evaluate(self) -> Any:
        return self._function(*pytree.tree_unflatten(self._static, self._form))

    def _capture(self, device: torch.device) -> None:
        stream = torch.cuda.Stream(device)
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP):
                self._evaluate()
        self.calls = _WARM_UP
        torch.cuda.current_stream(device).wait_stream(stream)
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._results = self._evaluate()
        torch.cuda.synchronize(device)
        self.peak_mib = torch.cuda.max_memory_allocated(device) / 2**20


def _copied(values: Any, place: Any) -> Any:
    """`place`, of the same form, with its tensors overwritten and all else exchanged."""
    (new, form), old = pytree.tree_flatten(values), pytree.tree_leaves(place)
    leaves = [b.copy_(a) if torch.is_tensor(b) else a for a, b in zip(new, old, strict=True)]
    return pytree.tree_unflatten(leaves, form)
