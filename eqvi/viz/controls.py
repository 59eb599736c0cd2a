"""The explorer's choices: clip, window, model, switches. Stock widgets that `eqvi.viz.explorer` observes."""

import ipywidgets
from ipywidgets import Layout

from eqvi.viz import choices
from eqvi.viz.exploration import NAMES

_WIDE = {"layout": Layout(width="460px", max_width="96%"), "style": {"description_width": "70px"}}
_NARROW = {"indent": False, "layout": Layout(width="auto", margin="0 14px 0 0")}


class Controls:
    """Every control by its name, and `rows` of them to display.

    Args:
        clip, path, model: chosen at first; see `eqvi.viz.explorer.Explorer`.
        steps: of t.
    """

    def __init__(self, clip: str, path: str, model: str, steps: int) -> None:
        models = {**choices.MODELS} if model in choices.MODELS.values() else {model: model, **choices.MODELS}
        first = choices.FOOTAGE if path else clip or next(iter(choices.SCENES))
        self.clip = ipywidgets.Dropdown(
            options=[*choices.SCENES, choices.FOOTAGE], value=first, description="clip", **_WIDE
        )
        words = "folder of frames or video file, then Enter"
        self.path = ipywidgets.Text(path, description="path", continuous_update=False, placeholder=words, **_WIDE)
        self.place = ipywidgets.SelectionSlider(
            options=[("…", 0.0)], description="window", continuous_update=False, **_WIDE
        )
        self.model = ipywidgets.Dropdown(options=list(models.items()), value=model, description="model", **_WIDE)
        self.switches = {name: ipywidgets.Checkbox(description=text, **_NARROW) for name, text in NAMES.items()}
        self.arrows = ipywidgets.Checkbox(description="flows as arrows", **_NARROW)
        self.differences = ipywidgets.Checkbox(description="what each switch changes", **_NARROW)
        self.progress = ipywidgets.IntProgress(max=steps - 1, description="frames", **_WIDE)
        self.message = ipywidgets.HTML()
        self.other = ipywidgets.Dropdown(options=[("…", "")], description="against", **_WIDE)
        self.step = ipywidgets.IntSlider(steps // 2, 1, steps - 1, description=f"t, in 1/{steps}", **_WIDE)
        self.rows = [
            ipywidgets.HBox(row, layout=Layout(flex_flow="row wrap"))
            for row in (
                [self.clip, self.model],
                [self.place, self.path],
                [*self.switches.values(), self.arrows, self.differences],
                [self.progress, self.message],
            )
        ]
