"""Operations that no CUDA graph can capture, found while the CPU computes."""

from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode


class HostTraffic(TorchDispatchMode):
    """Collects the operations that wait for the device or copy from the host, which no CUDA graph can capture."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(part in str(func) for part in ("lift_fresh", "local_scalar", "nonzero", "masked_select", "is_nonzero")):
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))
