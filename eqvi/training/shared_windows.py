"""Windows that several runs of one process share: read once, kept once on the device, and scored on once."""

from collections.abc import Sequence
from typing import Any

import torch

from eqvi.datasets.photographs import Split
from eqvi.training.device_windows import DeviceWindows, WindowDraws
from eqvi.training.loading import window_pool
from eqvi.training.recipe import Recipe
from eqvi.training.validation import ScoredWindows
from eqvi.training.window_pool import PooledWindows, WindowPool, to_sample


class SharedWindows:
    """The pools of some recipes on data windows, opened when a run needs them.

    Args:
        recipes: of all runs; runs of one pool share it, though they may differ in their number of windows.
        device: where they train.
    """

    def __init__(self, recipes: Sequence[Recipe], device: torch.device) -> None:
        self.pools: dict[tuple[Any, ...], WindowPool] = shared_pools(recipes)
        self._device = device
        self._windows: dict[tuple[Any, ...], DeviceWindows] = {}
        self._scored: dict[tuple[Any, ...], ScoredWindows] = {}

    def source(self, recipe: Recipe) -> PooledWindows:
        """What the recipe trains on, for the record of its run; the pool is prepared."""
        pool = self.pools[pool_key(recipe, "train")]
        if pool_key(recipe, "train") not in self._windows:
            pool.prepare()
        how: Any = recipe.augment
        return PooledWindows(pool, (recipe.crop, recipe.crop), how, recipe.seed, recipe.windows)

    def scored(self, recipe: Recipe) -> ScoredWindows:
        """What the recipe's run is scored on."""
        key = (*pool_key(recipe, "val"), recipe.scored)
        if key not in self._scored:
            pool = self.pools[pool_key(recipe, "val")]
            pool.prepare()
            samples = [to_sample(pool.window(number)) for number in range(recipe.scored)]
            self._scored[key] = ScoredWindows(samples, self._device)
        return self._scored[key]

    def draws(self, recipe: Recipe, step: int) -> WindowDraws:
        """The batches of the recipe's run from a step on."""
        key = pool_key(recipe, "train")
        how: Any = recipe.augment
        if key not in self._windows:
            self._windows[key] = DeviceWindows(self.pools[key], self._device)
        return WindowDraws(self._windows[key], recipe.windows, recipe.crop, how, recipe.seed + step)


def shared_pools(recipes: Sequence[Recipe]) -> dict[tuple[Any, ...], WindowPool]:
    """The pools of recipes by `pool_key`, those of the validation first, each as large as the largest run needs."""
    pools: dict[tuple[Any, ...], WindowPool] = {}
    splits: tuple[Split, ...] = ("val", "train")
    for split in splits:
        for recipe in recipes:
            pool, key = window_pool(recipe, split), pool_key(recipe, split)
            if key not in pools or pools[key].count < pool.count:
                pools[key] = pool
    return pools


def pool_key(recipe: Recipe, split: Split) -> tuple[Any, ...]:
    """What tells pools apart: folder, size, seed, pictures, split; not the number of windows."""
    pool = window_pool(recipe, split)
    return pool.folder, pool.size, pool.seed, pool.pictures, pool.split
