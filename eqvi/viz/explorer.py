"""The explorer of `notebooks/08_explorer.ipynb`: controls, and what its widgets show.

Nothing is opened or computed before a browser displays it: in a headless run the page has its figures instead. Then
the frame at the present t is made first and those of all other t in the gaps between two questions, so that the
slider finds them made.
"""

import asyncio
import html
from collections.abc import Iterator
from typing import Any

import ipywidgets
from traitlets import link

from eqvi.errors import InputError
from eqvi.model.registry import DEFAULT_MODEL, load_model
from eqvi.viz import choices, drawing, result_layers
from eqvi.viz.controls import Controls
from eqvi.viz.exploration import NAMES, Exploration, Switches
from eqvi.viz.pixel_motion import trace
from eqvi.viz.widgets import CHANGED, GIVEN, MADE, MOTION, Divider, Film, Grid, Picture, picture

#: One arrow in so many pixels both ways.
ARROWS = 16
#: Seconds between two frames that are made ahead, in which a browser's questions come through.
PAUSE = 0.02
_GIVEN_AT = dict(zip(result_layers.GIVEN, ("-1", "0", "1", "2"), strict=True))
_AT = _GIVEN_AT | dict(zip(result_layers.OBSERVED, "01", strict=True))
_ORDER = (
    result_layers.FRAME, *result_layers.WARPED, result_layers.MASK, result_layers.RESIDUAL,
    result_layers.TRUTH, result_layers.ERROR, *result_layers.FLOWS, *result_layers.HOLES,
)  # fmt: skip


class Explorer:
    """A window, a model with switches, and a slider for t.

    Args:
        clip: one of `sources.SCENES`.
        path: of a folder or video file; opened instead of `clip` where it is given.
        model: one of `sources.MODELS` or its value.
        height: of the frames, in pixels.
        steps: t comes in steps of 1 / steps.

    `view`, `comparison` and `film` are to be displayed; each starts to work when it is.
    """

    def __init__(
        self, clip: str = "", path: str = "", model: str = DEFAULT_MODEL, height: int = 256, steps: int = 8
    ) -> None:
        self._height, self._steps = height, steps
        self._exploration: Exploration | None = None
        self._awake: set[str] = set()
        self._kept: dict[tuple[int, Switches, bool], list[Picture]] = {}
        self._changes: dict[tuple[int, Switches, str], Picture] = {}
        self._pairs: dict[tuple[int, Switches, Switches], tuple[Picture, Picture]] = {}
        self._pixel = (0, 0)
        self._task: asyncio.Task[None] | None = None
        self._setting = False

        self.controls = ask = Controls(clip, path, model, steps)
        self.grid = Grid(steps=steps, step=steps // 2)
        self.divider, self.film = Divider(), Film()
        self.view = ipywidgets.VBox([*ask.rows, self.grid])
        self.comparison = ipywidgets.VBox([ipywidgets.HBox([ask.other, ask.step]), self.divider])
        link((self.grid, "step"), (ask.step, "value"))

        self.grid.on_msg(lambda _, content, __: self._heard("grid", content))
        self.divider.on_msg(lambda _, content, __: self._heard("divider", content))
        self.film.on_msg(lambda _, content, __: self._heard("film", content))
        for widget in (ask.clip, ask.path):
            widget.observe(lambda _: self._reopen(anew=True), "value")
        for widget in (ask.place, ask.model):
            widget.observe(lambda _: self._reopen(anew=False), "value")
        for widget in (*ask.switches.values(), ask.arrows, ask.differences, ask.other):
            widget.observe(lambda _: self._go(), "value")
        self.grid.observe(lambda _: self._go(), "step")

    @property
    def t(self) -> float:
        """Of the frame that is asked for."""
        return self.grid.step / self._steps

    @property
    def chosen(self) -> Switches:
        """The switches as they are set."""
        return Switches(**{name: box.value for name, box in self.controls.switches.items()})

    @property
    def exploration(self) -> Exploration:
        """The window and the model that are shown; opened where they have not been yet."""
        if self._exploration is None:
            self._open(anew=True)
        assert self._exploration is not None
        return self._exploration

    def _heard(self, widget: str, content: dict[str, Any]) -> None:
        kind = content.get("kind")
        if kind == "ready":
            self._awake.add(widget)
            if self._exploration is None:
                self._reopen(anew=True)
            else:
                self._go()
        elif kind == "chosen":
            self.grid.step = min(max(content["index"], 1), self._steps - 1)
        elif kind in ("click", "move") and self._exploration is not None:
            x, y = content["x"], content["y"]
            if kind == "move":
                x, y = self._pixel[0] + x, self._pixel[1] + y
            else:
                x, y = self._of_frame_1(content["name"], x, y)
            width, height = self.grid.size
            self._pixel = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
            self._trace()

    def _of_frame_1(self, name: str, x: int, y: int) -> tuple[int, int]:
        """The pixel of frame 1 that is seen at (x, y) of a picture."""
        at = next((one["at"] for one in (*self.grid.fixed, *self.grid.moving) if one["name"] == name), "0")
        if at == "t" and self.exploration.known(self.grid.shown / self._steps, self.chosen):
            return result_layers.origin(self.exploration, self.grid.shown / self._steps, self.chosen, x, y)
        if at == "1":
            moved = self.exploration.motion().flow_21[0, :, y, x]
            return round(x + float(moved[0])), round(y + float(moved[1]))
        return x, y

    def _reopen(self, anew: bool) -> None:
        if self._awake and not self._setting:
            self._say("")
            self.grid.busy = "opening"
            try:
                self._open(anew)
            except InputError as error:
                self._say(str(error))
            self.grid.busy = ""
            self._go()

    def _open(self, anew: bool) -> None:
        """Open what is chosen; `anew`: the clip is another, so that its windows are, too."""
        if anew:
            places = choices.places(self.controls.clip.value, self.controls.path.value)
            self._set(self.controls.place, options=[tuple(place) for place in places])
            self._set(self.controls.place, value=places[len(places) // 2].start)
        subject = choices.subject(
            self.controls.clip.value, self.controls.path.value, self.controls.place.value, self._height
        )
        exploration = Exploration(load_model(self.controls.model.value)[0], subject)
        exploration.motion()
        self._kept, self._changes, self._pairs = {}, {}, {}
        same_model = self._exploration is not None and self._exploration.model.config == exploration.model.config
        self._exploration = exploration
        for name, box in self.controls.switches.items():
            box.disabled = name not in exploration.offered
            if not same_model:
                self._set(box, value=getattr(exploration.own, name))
        height, width = subject.frames.shape[-2:]
        if self.grid.size != [width, height]:
            self._pixel = (width * 42 // 100, height // 2)
        self.grid.size = self.divider.size = [width, height]
        self.grid.fixed = self._fixed()

    def _set(self, widget: Any, **values: Any) -> None:
        """Change a control without being told of it."""
        self._setting = True
        for name, value in values.items():
            setattr(widget, name, value)
        self._setting = False

    def _go(self) -> None:
        """Show what there is, and make what there is not."""
        if self._exploration is None or not self._awake or self._setting:
            return
        self._show()
        if self._task is not None and not self._task.done():
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # no kernel: all at once
            while self._work():
                pass
            return
        self._task = loop.create_task(self._fill())

    async def _fill(self) -> None:
        await asyncio.sleep(PAUSE)
        while self._work():
            await asyncio.sleep(PAUSE)

    def _work(self) -> bool:
        """Make one frame; whether there was one to make."""
        job = next(self._missing(), None)
        if job is None:
            return False
        step, switches, what = job
        try:
            if what == "layers":
                self._layers(step, switches)
            elif what == "pair":
                self._pair(step, self.chosen, switches)
            else:
                found = result_layers.change(self.exploration, step / self._steps, switches, what)
                self._changes[step, switches, what] = _changed(found)
        except InputError as error:
            self._say(str(error))
            self.grid.busy = self.divider.busy = self.film.busy = ""
            return False
        self._show()
        return True

    def _missing(self) -> Iterator[tuple[int, Switches, str]]:
        """What is still to be made, the most urgent first."""
        now, chosen, found = self.grid.step, self.chosen, self.exploration
        around = sorted(range(1, self._steps), key=lambda step: abs(step - now))
        other = self._other() if "divider" in self._awake else None
        for step in around:
            if (step, chosen, self.controls.arrows.value) not in self._kept:
                yield step, chosen, "layers"
            if step == now and other and (step, chosen, other) not in self._pairs:
                yield step, other, "pair"
            if step == now and self.controls.differences.value:
                for name in found.offered:
                    if (step, chosen, name) not in self._changes:
                        yield step, chosen, name
        for step in around if other else ():
            if other and (step, chosen, other) not in self._pairs:
                yield step, other, "pair"

    def _other(self) -> Switches | None:
        name = self.controls.other.value
        return self.exploration.flipped(self.chosen, name) if name in self.exploration.offered else None

    def _fixed(self) -> list[Picture]:
        arrows = ARROWS if self.controls.arrows.value else 0
        shown = result_layers.given(self.exploration) | result_layers.observed(self.exploration, arrows)
        return [picture(name, layer, GIVEN, _AT[name]) for name, layer in shown.items()]

    def _layers(self, step: int, switches: Switches) -> None:
        arrows = self.controls.arrows.value
        found = result_layers.described(self.exploration, step / self._steps, switches, ARROWS if arrows else 0)
        self._kept[step, switches, arrows] = [
            picture(
                name, found[name], MADE if name not in (*result_layers.FLOWS, *result_layers.HOLES) else MOTION, "t"
            )
            for name in _ORDER
            if name in found
        ]

    def _pair(self, step: int, chosen: Switches, other: Switches) -> None:
        found, t = self.exploration, step / self._steps
        self._pairs[step, chosen, other] = (
            picture("other", result_layers.new_frame(found, t, other)),
            picture("difference", result_layers.difference(found, t, chosen, other)),
        )

    def _show(self) -> None:
        step, chosen, arrows = self.grid.step, self.chosen, self.controls.arrows.value
        made = [self._kept[n, chosen, arrows] for n in range(1, self._steps) if (n, chosen, arrows) in self._kept]
        self.controls.progress.value = len(made)
        self.controls.progress.description = (
            "all made" if len(made) == self._steps - 1 else f"{len(made)} of {self._steps - 1}"
        )
        kept = self._kept.get((step, chosen, arrows))
        if kept is None:
            self.grid.busy = f"making the frame at t = {step}/{self._steps}"
        else:
            changes = [self._changes.get((step, chosen, name)) for name in self.exploration.offered]
            wanted = changes if self.controls.differences.value else []
            with self.grid.hold_sync():
                self.grid.busy = "finding what each switch changes" if None in wanted else ""
                self.grid.shown = step
                self.grid.moving = kept + [change for change in wanted if change is not None]
                if bool(self.grid.fixed[-1]["arrows"]) != arrows:
                    self.grid.fixed = self._fixed()
                self._trace()
        if "divider" in self._awake:
            self._show_pair(step, chosen)
        if "film" in self._awake:
            self._show_film(made)

    def _show_pair(self, step: int, chosen: Switches) -> None:
        found, ask = self.exploration, self.controls.other
        names = {name: f"{'without' if getattr(chosen, name) else 'with'} {NAMES[name]}" for name in found.offered}
        options = tuple((text, name) for name, text in names.items())
        if ask.options != options:
            value = ask.value if ask.value in names else found.offered[0]
            self._set(ask, options=options, value=value)
        kept = self._kept.get((step, chosen, self.controls.arrows.value))
        pair = self._pairs.get((step, chosen, found.flipped(chosen, ask.value)))
        if kept is None or pair is None:
            self.divider.busy = f"making both frames at t = {step}/{self._steps}"
            return
        with self.divider.hold_sync():
            self.divider.busy, self.divider.shown = "", step
            self.divider.left = {**kept[0], "name": "as switched above"}
            self.divider.right, self.divider.change = {**pair[0], "name": names[ask.value]}, pair[1]

    def _show_film(self, made: list[list[Picture]]) -> None:
        if len(made) < self._steps - 1:
            self.film.busy = f"making the film, {len(made)} of {self._steps - 1} frames"
            return
        first, last = (next(one for one in self.grid.fixed if one["at"] == at) for at in "01")
        new = [{**pictures[0], "name": f"t = {n}/{self._steps}"} for n, pictures in enumerate(made, 1)]
        with self.film.hold_sync():
            self.film.busy = ""
            self.film.frames = [{key: frame[key] for key in ("name", "alt", "data")} for frame in (first, *new, last)]

    def _trace(self) -> None:
        found = trace(self.exploration.motion(), *self._pixel, self.t, drawing.TIMES)
        with self.grid.hold_sync():
            self.grid.marks, self.grid.said = drawing.marks(found), drawing.sentence(found, self.t)
            self.grid.drawing, self.grid.table = drawing.curves(found, self.t), drawing.table(found)

    def _say(self, text: str) -> None:
        self.controls.message.value = f'<span role="alert"><b>{html.escape(text)}</b></span>' if text else ""


def _changed(found: result_layers.Change) -> Picture:
    gain = "" if found.on is None or found.off is None else f", {found.on - found.off:+.2f} dB"
    return picture(found.name, result_layers.noted(found.layer, gain), CHANGED, "t")
