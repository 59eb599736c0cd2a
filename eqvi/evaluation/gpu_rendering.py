"""Windows rendered on a machine's cores while its GPU does something else, for the training run of a visit.

Table ``windows`` of rendering.json: whenever rendering pauses or ends, how many windows are ``there``, how many of them
it ``made``, in how many ``seconds`` (no longer than until all were there), by how many ``workers``.
"""

import contextlib
import dataclasses
import multiprocessing
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from eqvi.devices import one_thread
from eqvi.evaluation.gpu_record import Record, Visit
from eqvi.training.recipe import Recipe
from eqvi.training.shared_windows import shared_pools
from eqvi.training.window_pool import WindowPool, fill_pool

#: Cores that are left to the process that drives the GPU.
SPARED = 3


_TOY = Recipe(
    stage="finishing", preset="finishing", data="windows", windows=4, store="build/windows_toy", stored=64, crop=64,
    augment="full", steps=2, batch=1, begin="weight_free", schedule="cosine", average=0.9, scored=1, score_every=2,
)  # fmt: skip
#: The training runs of a rehearsal, and an ablation of two rows and two seeds: two steps each.
TOY_RUNS = {"toy": _TOY, "toy_matching": dataclasses.replace(_TOY, stage="matching", preset="matching")}
TOY_ABLATION = {
    f"{motion}_{seed}": dataclasses.replace(
        _TOY, stage="scratch", preset="eqvi-eighth-dis", motion=motion, residual="no", seed=seed, windows=3
    )
    for seed in (0, 1)
    for motion in ("linear", "quadratic")
}


class Rendering:
    """Processes that render the windows of recipes, those of the validation first; an `eqvi.evaluation.gpu.Background`.

    Args:
        visit: gets the record.
        recipes: on windows of eight frames, with a store; without one there is nothing to render.
        workers: processes.
    """

    def __init__(self, visit: Visit, recipes: Sequence[Recipe], workers: int) -> None:
        self.pools = list(shared_pools([recipe for recipe in recipes if recipe.store]).values())
        self.workers = workers
        self._record = Record(visit, "rendering", 0.0)
        self._seconds, self._resumed = 0.0, time.time()
        self._before = len(self._files())
        context = multiprocessing.get_context("forkserver")
        self._processes = [context.Process(target=_fill, args=(self.pools, k, workers)) for k in range(workers)]
        for process in self._processes:
            process.start()

    def pause(self) -> None:
        """Stop until `resume`."""
        self._signal(signal.SIGSTOP)
        self._count("paused")

    def resume(self) -> None:
        """Go on."""
        self._resumed = time.time()
        self._signal(signal.SIGCONT)

    def end(self) -> None:
        """End the processes; what they rendered stays."""
        failed = [process.exitcode for process in self._processes if process.exitcode]
        self._signal(signal.SIGKILL)
        for process in self._processes:
            process.join()
        self._count("ended")
        why = f"{len(failed)} of {self.workers} processes ended with status {failed[0]}" if failed else ""
        self._record.close("failed" if failed else "done", why)

    def _signal(self, number: int) -> None:
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                if process.pid is not None and process.is_alive():
                    os.kill(process.pid, number)

    def _files(self) -> list[Path]:
        folders = [(pool, pool.folder) for pool in self.pools if pool.folder is not None and pool.folder.is_dir()]
        return [folder / f"{number:08d}.npz" for pool, folder in folders for number in pool.rendered()]

    def _count(self, event: str) -> None:
        files, until = self._files(), time.time()
        if files and len(files) == sum(pool.count for pool in self.pools):  # since the last one nothing was left to do
            until = max(path.stat().st_mtime for path in files)
        self._seconds += max(0.0, until - self._resumed)
        counts = {"there": len(files), "made": len(files) - self._before}
        self._record.add("windows", event=event, **counts, seconds=self._seconds, workers=self.workers)


def _fill(pools: Sequence[WindowPool], worker: int, workers: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    os.nice(5)
    with one_thread():  # as many threads as cores in every worker slow each other down, and hold up the training
        for pool in pools:
            fill_pool(pool, worker, workers, progress=False)
