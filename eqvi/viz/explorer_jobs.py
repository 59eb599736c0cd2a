"""What the explorer computes, piece by piece: each job gives some of its pictures."""

import dataclasses
from typing import NamedTuple

from eqvi.viz import result_layers
from eqvi.viz.exploration import Exploration, Switches
from eqvi.viz.widgets import EFFECTS, INPUTS, MOTION, RESULT, Tile, tile

#: Pixels from one arrow to the next.
ARROWS = 16
# The time that a tile of the inputs shows.
_AT = dict(zip((*result_layers.INPUTS, *result_layers.INPUT_FLOWS), ("-1", "0", "1", "2", "0", "1"), strict=True))
_ORDER = (
    result_layers.FRAME, *result_layers.WARPED, result_layers.MASK, result_layers.RESIDUAL,
    result_layers.TRUTH, result_layers.ERROR, *result_layers.FLOWS, *result_layers.HOLES,
)  # fmt: skip


class Job(NamedTuple):
    """One computation, which gives some tiles.

    Attributes:
        step: t is step / steps.
        switches: as they are set.
        subject: of the layers, whether they have arrows; of the comparison, the other variant; of the effect of a
            switch, its name.
    """

    step: int
    switches: Switches
    subject: bool | Switches | str


def input_tiles(exploration: Exploration, arrows: bool) -> list[Tile]:
    """The input frames and their flows."""
    spacing = ARROWS if arrows else 0
    layers = result_layers.input_frames(exploration) | result_layers.input_flows(exploration, spacing)
    return [tile(name, layer, INPUTS, _AT[name]) for name, layer in layers.items()]


def compute(exploration: Exploration, job: Job, t: float) -> list[Tile]:
    """The tiles of a job: all layers; the other frame and the difference; or one effect."""
    if isinstance(job.subject, bool):
        layers = result_layers.layers_at(exploration, t, job.switches, ARROWS if job.subject else 0)
        motion = (*result_layers.FLOWS, *result_layers.HOLES)
        names = [name for name in _ORDER if name in layers]
        return [tile(name, layers[name], MOTION if name in motion else RESULT, "t") for name in names]
    if isinstance(job.subject, Switches):
        other = result_layers.frame_layer(exploration, t, job.subject)
        difference = result_layers.difference(exploration, t, job.switches, job.subject)
        return [tile("other", other), tile("difference", difference)]
    name, layer, on, off = result_layers.switch_effect(exploration, t, job.switches, job.subject)
    gain = "" if on is None or off is None else f", {on - off:+.2f} dB"
    layer = dataclasses.replace(layer, note=layer.note + gain, alt=f"{layer.alt.removesuffix('.')}{gain}.")
    return [tile(name, layer, EFFECTS, "t")]
