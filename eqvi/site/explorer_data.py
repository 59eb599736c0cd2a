"""Pictures and data of the site's explorer, computed beforehand.

For some windows of frames: the layers at some times as strips of pictures, the PSNR of every variant, and the six flows
on a grid, from which the page itself computes a pixel's motion. Pages opened from disk cannot fetch data, so it comes
as scripts that set a variable.
"""

import base64
import functools
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from eqvi.datasets.random_scenes import draw_clip
from eqvi.datasets.rendering import demo_scene
from eqvi.devices import one_thread
from eqvi.metrics import to_8bit
from eqvi.model.motion import FLOW_PAIRS
from eqvi.model.registry import DEFAULT_MODEL, load_model
from eqvi.viz import result_layers
from eqvi.viz.exploration import NAMES, Exploration, Switches
from eqvi.viz.quadruplet import Quadruplet, from_scene
from eqvi.viz.result_layers import Layer

TIMES = tuple(number / 10 for number in range(1, 10))
SIZE = (256, 448)
#: Spacing in pixels of the grid of flows.
STEP = 2
#: Every layer of `eqvi.viz.result_layers`: its name in the page and its heading there.
LAYERS = {
    result_layers.FRAME: ("frame", "new frame"),
    result_layers.TRUTH: ("truth", "true frame"),
    result_layers.ERROR: ("error", "error of the new frame"),
    result_layers.WARPED[0]: ("warped1", "I₁ warped to t"),
    result_layers.WARPED[1]: ("warped2", "I₂ warped to t"),
    result_layers.MASK: ("mask", "mask M: whom to trust"),
    result_layers.RESIDUAL: ("residual", "residual, added by RCSN"),
    result_layers.FLOWS[0]: ("flow1", "flow Fₜ₁"),
    result_layers.FLOWS[1]: ("flow2", "flow Fₜ₂"),
    result_layers.HOLES[0]: ("holes1", "holes of Fₜ₁"),
    result_layers.HOLES[1]: ("holes2", "holes of Fₜ₂"),
}
FLOWS = [f"flow_{a}{b}" for a, b in FLOW_PAIRS]
_PHOTOGRAPHS = ("given", "frame", "truth", "warped1", "warped2")


@dataclass(frozen=True)
class ExplorerWindow:
    """Four frames, the model whose parts are switched, and the model's name for readers."""

    quadruplet: Quadruplet
    model: Any
    made_by: str


def windows(size: tuple[int, int] = SIZE) -> dict[str, ExplorerWindow]:
    """The windows by a name for files. All are rendered: real footage is not ours to publish."""
    quarter, _ = load_model(DEFAULT_MODEL)
    # The only model of ours with every part, for illustration: an eighth of the widths, minutes of training.
    whole, _ = load_model("family/fusion_0")
    portrait = from_scene(demo_scene("cubic", size), "portrait before a cup; the acceleration changes")
    drawn = from_scene(draw_clip(3, "val", size, "quadratic").scene, "drawn scene; constant acceleration")
    again = replace(portrait, name="the portrait again, by the model that has MS-Fusion")
    return {
        "portrait": ExplorerWindow(portrait, quarter, f"{DEFAULT_MODEL}, trained with RCSN and quadratic motion"),
        "drawn": ExplorerWindow(drawn, quarter, f"{DEFAULT_MODEL}, trained with RCSN and quadratic motion"),
        "fusion": ExplorerWindow(again, whole, "family/fusion_0, a smaller one, with RQFP, RCSN and MS-Fusion"),
    }


def write(folder: Path, windows: Mapping[str, ExplorerWindow], times: Sequence[float] = TIMES) -> None:
    """Write the pictures and data of the explorer.

    Args:
        folder: of the site; everything goes into its ``explorer/``.
        windows: by a name for files.
        times: of the new frames.
    """
    with one_thread():  # one order of summation: the same bytes on any number of cores
        data = [_write_window(folder, name, window, times) for name, window in windows.items()]
    layers = [list(names) for names in LAYERS.values()]
    _write_script(folder, "data.js", "window.EQVI_DATA", {"times": list(times), "layers": layers, "windows": data})


def variants(available: Sequence[str], default: Switches) -> list[Switches]:
    """Every combination of a model's parts; the ensemble, which costs most, with the model's own parts only."""
    parts = [part for part in available if part != "ensemble"]
    combinations = [Switches(**dict(zip(parts, on, strict=True))) for on in product((False, True), repeat=len(parts))]
    combinations.sort(key=lambda switches: sum(getattr(switches, part) for part in parts))
    return [*combinations, Switches(default.rqfp, default.rcsn, default.fusion, ensemble=True)]


def key(switches: Switches) -> str:
    """A variant's name for scripts: ``rqfp+rcsn``, or ``none``."""
    return "+".join(part for part in NAMES if getattr(switches, part)) or "none"


def _write_window(folder: Path, name: str, window: ExplorerWindow, times: Sequence[float]) -> dict[str, Any]:
    quadruplet = replace(window.quadruplet, truth=functools.cache(window.quadruplet.truth))
    strips: list[dict[str, Any]] = []  # shared by all variants that show the same

    def strip(layer: str, panels: Sequence[Layer]) -> int:
        """The index of the strip with these panels, one below the other; a new one is written."""
        pixels = np.concatenate([to_8bit(panel.panel.rgb[None]) for panel in panels])
        file = f"explorer/{name}/{layer}-{hashlib.sha256(pixels.tobytes()).hexdigest()[:8]}.webp"
        entry = {"file": file, "notes": [panel.note for panel in panels], "alts": [panel.alt for panel in panels]}
        if entry not in strips:
            image = io.BytesIO()
            Image.fromarray(pixels).save(image, "WEBP", quality=84 if layer in _PHOTOGRAPHS else 90, method=4)
            _write(folder / file, image.getvalue())
            strips.append(entry)
        return strips.index(entry)

    whole = Exploration(window.model, quadruplet)
    legends: dict[str, Any] = {}
    variant_data = []
    given = strip("given", list(result_layers.input_frames(whole).values()))
    for switches in variants(whole.available, whole.default):
        exploration = Exploration(window.model, quadruplet)  # caches results: one for all would fill the memory
        frames = [result_layers.layers_at(exploration, t, switches) for t in times]
        layers = {}
        for layer, (short, _) in LAYERS.items():
            if layer in frames[0]:
                layers[short] = strip(short, [frame[layer] for frame in frames])
                legends.setdefault(short, _legend(folder, frames[0][layer]))
        label = " + ".join(title for part, title in NAMES.items() if getattr(switches, part)) or "no part"
        psnr = [exploration.psnr(t, switches) for t in times]
        variant_data.append({"key": key(switches), "name": label, "psnr": psnr, "layers": layers})
    variable = f"(window.EQVI_FLOWS = window.EQVI_FLOWS || {{}})[{json.dumps(name)}]"
    _write_script(folder, f"{name}/flows.js", variable, _flows(whole))
    height, width = quadruplet.frames.shape[-2:]
    return {
        "key": name,
        "name": quadruplet.name,
        "model": window.made_by,
        "width": width,
        "height": height,
        "parts": [[part, whole.label(part)] for part in whole.available],
        "own": key(whole.default),
        "variants": variant_data,
        "given": given,
        "strips": strips,
        "legends": {short: legend for short, legend in legends.items() if legend},
        "flows": f"explorer/{name}/flows.js",
    }


def _legend(folder: Path, layer: Layer) -> dict[str, str] | None:
    legend = result_layers.legend(layer.panel)
    if legend is None:
        return None
    picture, left, right = legend
    file = f"explorer/legend-{hashlib.sha256(picture).hexdigest()[:8]}.png"
    _write(folder / file, picture)
    return {"file": file, "left": left, "right": right}


def _flows(exploration: Exploration) -> dict[str, Any]:
    """The six flows at every `STEP`-th pixel, as 16-bit integers in multiples of `unit` pixels, pixel by pixel."""
    motion = exploration.motion()
    grid = torch.stack([getattr(motion, name)[0, :, ::STEP, ::STEP] for name in FLOWS]).cpu()  # (6, 2, rows, columns)
    unit = max(float(grid.abs().max()), 1e-6) / 32767
    integers = (grid / unit).round().to(torch.int16).permute(2, 3, 0, 1).contiguous().numpy().astype("<i2")
    rows, columns = grid.shape[-2:]
    text = base64.b64encode(integers.tobytes()).decode()
    return {"step": STEP, "rows": rows, "columns": columns, "unit": unit, "order": FLOWS, "data": text}


def _write_script(folder: Path, file: str, variable: str, value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    _write(folder / "explorer" / file, f"{variable} = {text};\n".encode())


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
