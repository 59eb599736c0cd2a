"""Learning rate schedules, as a fraction of the highest rate. Functions of the step alone: resuming needs no state."""

import math
from typing import Literal

Schedule = Literal["published", "cosine", "constant"]

#: Steps over which the cosine schedule rises to the highest rate.
WARM_UP = 100


def lr_factor(schedule: Schedule, step: int, steps: int, epoch_steps: int) -> float:
    """The learning rate of a step, as a fraction of the highest.

    Args:
        schedule: ``published``: x0.1 at half and again at three quarters of the epochs, each one epoch early, because
            the released code steps its scheduler before the epoch (of 200: at 99 and 149, not 100 and 150); a run of
            less than 4 epochs drops at half and three quarters of its steps.
            ``cosine``: rises over `WARM_UP` steps, then falls along half a cosine to a hundredth. ``constant``: 1.
        step: counted from 0.
        steps: of the whole run.
        epoch_steps: of an epoch.
    """
    if schedule == "constant":
        return 1.0
    if schedule == "cosine":
        warm_up = min(WARM_UP, steps // 10)
        if step < warm_up:
            return (step + 1) / (warm_up + 1)
        progress = (step - warm_up) / max(1, steps - warm_up)
        return 0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2
    epoch, epochs = step // epoch_steps, steps // epoch_steps
    if epochs < 4:
        return 0.1 ** ((2 * step >= steps) + (4 * step >= 3 * steps))
    return 0.1 ** ((epoch >= epochs // 2 - 1) + (epoch >= 3 * epochs // 4 - 1))
