"""The golden numbers of the released implementation, and its weights rebuilt from their names (golden/README.md)."""

from torch import Tensor

from eqvi.evaluation.parity import KINDS, arrays, state_dict, window, write_checkpoint
from eqvi.paths import GOLDEN

__all__ = ["GOLDEN", "KINDS", "arrays", "flow_state_dict", "state_dict", "window", "write_checkpoint"]


def flow_state_dict(prefix: str = "_model.module.") -> dict[str, Tensor]:
    """The golden flow network under the names of a ScopeFlow or IRR-PWC checkpoint."""
    start = "module.flownet."
    flow = {name: value for name, value in state_dict("eqvi").items() if name.startswith(start)}
    return {prefix + name.removeprefix(start): value for name, value in flow.items()}
