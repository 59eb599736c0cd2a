"""The step ``training_rate`` of a visit to a GPU.

Tables of its file:

- ``rows``: a training step at the published crop and batch, by ``precision``, ``variant`` and ``round``: the samples
  ``made``, in how many ``seconds``, with which peak memory.
- ``left_out``: what was not measured, and ``why``.
"""

import gc

import torch

from eqvi.evaluation.gpu_record import Task
from eqvi.evaluation.gpu_speed import measure
from eqvi.evaluation.precision import float32_precision
from eqvi.evaluation.workloads import Workload, training

#: Rounds, besides one that warms up.
ROUNDS = 2


def training_rate(task: Task) -> None:
    """A step of training at the published crop and batch, ours beside the published schedule."""
    device, toy = task.visit.device, task.visit.toy
    preset, crop, batch = ("eqvi-eighth-dis", 64, 1) if toy else ("eqvi", 512, 12)
    for precision in ("tf32", "bfloat16"):
        case = {"precision": precision, "crop": crop, "batch": batch}
        if task.left() < 0:
            task.record.add("left_out", **case, variant="all", why="no time left")
            continue
        reduced = "bfloat16" if precision == "bfloat16" else "float32"
        with float32_precision(True):
            tasks = training(Workload(preset, crop=crop, batch=batch, precision=reduced, device=device))
            rows = measure(task, case, tasks, 1 if toy else ROUNDS)
        rates = ", ".join(f"{row.variant} {row.made / row.seconds:.2f}" for row in rows if row.round == 1)
        task.say(f"{precision}, {batch} samples of {crop}x{crop}: samples a second: {rates or 'none'}")
        del tasks
        gc.collect()
        if device == "cuda":
            torch.cuda.empty_cache()
