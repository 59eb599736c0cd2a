"""What the site's explorer shows, made beforehand.

Layers of some windows at some times as strips of pictures, the PSNR of every variant, and the six flows on a grid, from
which the page itself computes a pixel's motion. Pages opened from disk may not fetch data, so it comes as scripts that
set a variable.
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
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

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
#: Flows are kept at one in so many pixels both ways.
STEP = 2
#: Every layer by its name in `eqvi.viz.result_layers`: its name in the page and its heading there.
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
class Window:
    """What can be looked at: four frames, and the model whose parts are switched, with a name for people."""

    quadruplet: Quadruplet
    model: Any
    made_by: str


def windows(size: tuple[int, int] = SIZE) -> dict[str, Window]:
    """The windows that are shown, by a name for files. All are rendered: real footage is not ours to spread."""
    quarter, _ = load_model(DEFAULT_MODEL)
    # The one kind of our models that has every part. It is an instrument: an eighth of the widths, minutes of training.
    whole, _ = load_model("family/fusion_0")
    portrait = from_scene(demo_scene("cubic", size), "portrait before a cup; the acceleration changes")
    drawn = from_scene(draw_clip(3, "val", size, "quadratic").scene, "drawn scene; constant acceleration")
    again = replace(portrait, name="the portrait again, by the model that has MS-Fusion")
    return {
        "portrait": Window(portrait, quarter, f"{DEFAULT_MODEL}, with RCSN; RQFP may be switched on"),
        "drawn": Window(drawn, quarter, f"{DEFAULT_MODEL}, with RCSN; RQFP may be switched on"),
        "fusion": Window(again, whole, "family/fusion_0, a smaller one, with RQFP, RCSN and MS-Fusion"),
    }


def write(folder: Path, shown: Mapping[str, Window], times: Sequence[float] = TIMES) -> None:
    """Write the pictures and data of the explorer.

    Args:
        folder: of the site; everything goes into its ``explorer/``.
        shown: windows by a name for files.
        times: of the new frames.
    """
    with one_thread():
        made = [_window(folder, name, window, times) for name, window in shown.items()]
    layers = [list(names) for names in LAYERS.values()]
    _script(folder / "explorer/data.js", "window.EQVI_DATA", {"times": list(times), "layers": layers, "windows": made})


def variants(offered: Sequence[str], own: Switches) -> list[Switches]:
    """Every combination of a model's parts; the ensemble with the model as it was made alone, because it costs most."""
    parts = [part for part in offered if part != "ensemble"]
    found = [Switches(**dict(zip(parts, chosen, strict=True))) for chosen in product((False, True), repeat=len(parts))]
    found.sort(key=lambda switches: sum(getattr(switches, part) for part in parts))
    return [*found, Switches(own.rqfp, own.rcsn, own.fusion, ensemble=True)]


def key(switches: Switches) -> str:
    """A variant's name for scripts: ``rqfp+rcsn``, or ``none``."""
    return "+".join(part for part in NAMES if getattr(switches, part)) or "none"


def label(switches: Switches) -> str:
    """A variant's name for people."""
    return " + ".join(name for part, name in NAMES.items() if getattr(switches, part)) or "no part"


class _Strips:
    """The strips of one window, each kept once however many variants show it."""

    def __init__(self, folder: Path, window: str) -> None:
        self.folder, self.window = folder, window
        self.found: list[dict[str, Any]] = []
        self._known: dict[str, int] = {}

    def add(self, name: str, layers: Sequence[Layer]) -> int:
        """The number of the strip that shows these layers, one below the other."""
        pixels = _strip([layer.panel.rgb for layer in layers])
        words = {"notes": [layer.note for layer in layers], "alts": [layer.alt for layer in layers]}
        content = hashlib.sha256(pixels.tobytes()).hexdigest()
        digest = hashlib.sha256(f"{content} {json.dumps(words)}".encode()).hexdigest()
        if digest not in self._known:
            file = f"explorer/{self.window}/{name}-{content[:8]}.webp"
            if not (self.folder / file).exists():
                _put(self.folder / file, _webp(pixels, 84 if name in _PHOTOGRAPHS else 90))
            self._known[digest] = len(self.found)
            self.found.append({"file": file, **words})
        return self._known[digest]


def _window(folder: Path, name: str, window: Window, times: Sequence[float]) -> dict[str, Any]:
    subject, model = replace(window.quadruplet, truth=functools.cache(window.quadruplet.truth)), window.model
    exploration, strips = Exploration(model, subject), _Strips(folder, name)
    legends: dict[str, Any] = {}
    shown = []
    given = strips.add("given", list(result_layers.input_frames(exploration).values()))
    for switches in variants(exploration.available, exploration.default):
        here = Exploration(model, subject)  # keeps what it makes: one for all variants would fill the memory
        made = [result_layers.layers_at(here, t, switches) for t in times]
        layers = {}
        for layer, (short, _) in LAYERS.items():
            if layer not in made[0]:
                continue
            layers[short] = strips.add(short, [one[layer] for one in made])
            if short not in legends:
                legends[short] = _legend(folder, made[0][layer])
        psnr = [here.psnr(t, switches) for t in times]
        shown.append({"key": key(switches), "name": label(switches), "psnr": psnr, "layers": layers})
    flows = f"explorer/{name}/flows.js"
    _script(folder / flows, f"(window.EQVI_FLOWS = window.EQVI_FLOWS || {{}})[{json.dumps(name)}]", _flows(exploration))
    height, width = subject.frames.shape[-2:]
    return {
        "key": name,
        "name": subject.name,
        "model": window.made_by,
        "width": width,
        "height": height,
        "parts": [[part, NAMES[part]] for part in exploration.available],
        "own": key(exploration.default),
        "variants": shown,
        "given": given,
        "strips": strips.found,
        "legends": {short: legend for short, legend in legends.items() if legend},
        "flows": flows,
    }


def _legend(folder: Path, layer: Layer) -> dict[str, str] | None:
    found = result_layers.legend(layer.panel)
    if found is None:
        return None
    picture, left, right = found
    file = f"explorer/legend-{hashlib.sha256(picture).hexdigest()[:8]}.png"
    _put(folder / file, picture)
    return {"file": file, "left": left, "right": right}


def _flows(exploration: Exploration) -> dict[str, Any]:
    """The six flows at every `STEP`-th pixel, as 16-bit integers of `unit` pixels, by the pixel."""
    motion = exploration.motion()
    fields = [getattr(motion, name)[0] for name in FLOWS]
    grid: Tensor = torch.stack([field[:, ::STEP, ::STEP] for field in fields]).cpu()  # (6, 2, rows, columns)
    unit = max(float(grid.abs().max()), 1e-6) / 32767
    whole = (grid / unit).round().to(torch.int16).permute(2, 3, 0, 1).contiguous().numpy().astype("<i2")
    rows, columns = grid.shape[-2:]
    text = base64.b64encode(whole.tobytes()).decode()
    return {"step": STEP, "rows": rows, "columns": columns, "unit": unit, "order": FLOWS, "data": text}


def _strip(pictures: Sequence[Tensor]) -> NDArray[np.uint8]:
    """Pictures one below the other."""
    return np.concatenate([to_8bit(rgb[None]) for rgb in pictures])


def _webp(pixels: NDArray[np.uint8], quality: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", quality=quality, method=4)
    return file.getvalue()


def _script(path: Path, name: str, value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    _put(path, f"{name} = {text};\n".encode())


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
