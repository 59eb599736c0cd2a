"""What the site's explorer shows, made beforehand: layers of some windows at some times as strips of pictures, the
PSNR of every variant, and the six flows on a grid, from which the page itself computes a pixel's motion.

Pages opened from disk may not fetch data, so it comes as scripts that set a variable.
"""

import base64
import functools
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from eqvi import mosaic
from eqvi.choose import load_model
from eqvi.exploration import NAMES, Exploration, Switches
from eqvi.mosaic import Layer
from eqvi.scenes import draw_clip
from eqvi.subject import Subject, rendered
from eqvi.synthetic import demo_scene

#: The model whose parts are switched: one of ours that has them all.
MODEL = "family/fusion_0"
TIMES = tuple(number / 10 for number in range(1, 10))
SIZE = (256, 448)
#: Flows are kept at one in so many pixels both ways.
STEP = 2
#: Every layer by its name in `eqvi.mosaic`: its name in the page and its heading there.
LAYERS = {
    mosaic.FRAME: ("frame", "new frame"),
    mosaic.TRUTH: ("truth", "true frame"),
    mosaic.ERROR: ("error", "error of the new frame"),
    mosaic.WARPED[0]: ("warped1", "I₁ warped to t"),
    mosaic.WARPED[1]: ("warped2", "I₂ warped to t"),
    mosaic.MASK: ("mask", "mask M: whom to trust"),
    mosaic.RESIDUAL: ("residual", "residual, added by RCSN"),
    mosaic.FLOWS[0]: ("flow1", "flow Fₜ₁"),
    mosaic.FLOWS[1]: ("flow2", "flow Fₜ₂"),
    mosaic.HOLES[0]: ("holes1", "holes of Fₜ₁"),
    mosaic.HOLES[1]: ("holes2", "holes of Fₜ₂"),
}
FLOWS = ("flow_10", "flow_12", "flow_13", "flow_23", "flow_21", "flow_20")
_PHOTOGRAPHS = ("given", "frame", "truth", "warped1", "warped2")


def subjects(size: tuple[int, int] = SIZE) -> dict[str, Subject]:
    """The windows that are shown, by a name for files. All are rendered: real footage is not ours to spread."""
    return {
        "portrait": rendered(demo_scene("cubic", size), "portrait before a cup; the acceleration changes"),
        "quadratic": rendered(draw_clip(3, "val", size, "quadratic").scene, "drawn scene; constant acceleration"),
        "shake": rendered(draw_clip(5, "val", size, "shake").scene, "drawn scene; a shaking hand"),
    }


def write(
    folder: Path, windows: Mapping[str, Subject], model: Any = None, times: Sequence[float] = TIMES
) -> dict[str, Any]:
    """Write the pictures and data of the explorer.

    Args:
        folder: of the site; everything goes into its ``explorer/``.
        windows: by a name for files.
        model: `MODEL` by default.
        times: of the new frames.

    Returns:
        What the page's script is told, as it stands in ``explorer/data.js``.
    """
    model = load_model(MODEL)[0] if model is None else model
    made = [_window(folder, name, subject, model, times) for name, subject in windows.items()]
    offered = Exploration(model, next(iter(windows.values()))).offered
    data = {
        "times": list(times),
        "parts": [[part, NAMES[part]] for part in offered],
        "layers": [list(names) for names in LAYERS.values()],
        "windows": made,
    }
    _script(folder / "explorer" / "data.js", "window.EQVI_DATA", data)
    return data


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
        data = _webp([layer.panel.rgb for layer in layers], 84 if name in _PHOTOGRAPHS else 90)
        words = {"notes": [layer.note for layer in layers], "alts": [layer.alt for layer in layers]}
        digest = hashlib.sha256(data + json.dumps(words).encode()).hexdigest()
        if digest not in self._known:
            content = hashlib.sha256(data).hexdigest()[:8]
            file = f"explorer/{self.window}/{name}-{content}.webp"
            _put(self.folder / file, data)
            self._known[digest] = len(self.found)
            self.found.append({"file": file, **words})
        return self._known[digest]


def _window(folder: Path, name: str, subject: Subject, model: Any, times: Sequence[float]) -> dict[str, Any]:
    subject = Subject(subject.name, subject.frames, functools.cache(subject.truth))
    exploration, strips = Exploration(model, subject), _Strips(folder, name)
    legends: dict[str, Any] = {}
    shown = []
    given = strips.add("given", list(mosaic.given(exploration).values()))
    for switches in variants(exploration.offered, exploration.own):
        here = Exploration(model, subject)  # keeps what it makes: one for all variants would fill the memory
        made = [mosaic.described(here, t, switches) for t in times]
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
        "key": name, "name": subject.name, "width": width, "height": height, "given": given, "flows": flows,
        "own": key(exploration.own), "variants": shown, "strips": strips.found,
        "legends": {short: legend for short, legend in legends.items() if legend},
    }  # fmt: skip


def _legend(folder: Path, layer: Layer) -> dict[str, str] | None:
    found = mosaic.legend(layer.panel)
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
    return {"step": STEP, "rows": rows, "columns": columns, "unit": unit, "order": list(FLOWS), "data": text}


def _webp(pictures: Sequence[Tensor], quality: int) -> bytes:
    strip = torch.cat([(rgb.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8) for rgb in pictures], dim=1)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(strip.permute(1, 2, 0).numpy())).save(file, "WEBP", quality=quality, method=4)
    return file.getvalue()


def _script(path: Path, name: str, value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    _put(path, f"{name} = {text};\n".encode())


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
