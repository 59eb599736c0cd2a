"""The explorer of `notebooks/08_explorer.ipynb`: what its controls do and what its widgets show.

Nothing is opened or computed before a browser displays it: in a headless run the notebook has its figures instead. Then
the frame at the present t is computed first, and those at all other t follow between two messages of the browser, so
that they are ready when the slider gets there.
"""

import asyncio
import html
from collections.abc import Iterator
from typing import Any

import ipywidgets
from traitlets import link

from eqvi.errors import InputError
from eqvi.model.registry import DEFAULT_MODEL, load_model
from eqvi.viz import choices, pixel_motion, pixel_path, result_layers
from eqvi.viz.exploration import NAMES, Exploration, Switches, toggled
from eqvi.viz.explorer_jobs import Job, compute, input_tiles
from eqvi.viz.widgets import Divider, FilmStrip, Grid, Tile

#: Seconds between two computations, in which a browser's messages come through.
PAUSE = 0.02


class Explorer:
    """A quadruplet, a model with switches, and a slider for t.

    Args:
        clip: one of `choices.SCENES`.
        path: of a folder or video file; opened instead of `clip` if given.
        model: one of `choices.MODELS` or its value.
        height: of the frames, in pixels.
        steps: t comes in steps of 1 / steps.

    `view`, `comparison` and `film` are to be displayed; each starts to compute when it is.
    """

    def __init__(
        self, clip: str = "", path: str = "", model: str = DEFAULT_MODEL, height: int = 256, steps: int = 8
    ) -> None:
        self._height, self._steps = height, steps
        self._exploration: Exploration | None = None
        self._displayed: set[str] = set()
        self._tiles: dict[Job, list[Tile]] = {}
        self._pixel = (0, 0)
        self._path = ""
        self._task: asyncio.Task[None] | None = None
        self._silent = False

        self.controls = controls = choices.Controls(clip, path, model, steps)
        self.grid = Grid(steps=steps, step=steps // 2)
        self.divider, self.film = Divider(), FilmStrip()
        self.view = ipywidgets.VBox([*controls.rows, self.grid])
        self.comparison = ipywidgets.VBox([ipywidgets.HBox([controls.other, controls.step]), self.divider])
        link((self.grid, "step"), (controls.step, "value"))

        for name, widget in (("grid", self.grid), ("divider", self.divider), ("film", self.film)):
            widget.on_msg(lambda _, content, __, name=name: self._receive(name, content))
        controls.clip.observe(lambda _: self._reopen(new_clip=True), "value")
        controls.path.observe(lambda _: self._take_path(), "value")
        controls.path.on_msg(lambda *_: self._take_path())  # Enter, also where the text is as before
        for control in (controls.position, controls.model):
            control.observe(lambda _: self._reopen(new_clip=False), "value")
        for control in (*controls.switches.values(), controls.arrows, controls.effects, controls.other):
            control.observe(lambda _: self._refresh(), "value")
        self.grid.observe(lambda _: self._refresh(), "step")

    @property
    def switches(self) -> Switches:
        """The switches as they are set."""
        return Switches(**{name: box.value for name, box in self.controls.switches.items()})

    @property
    def exploration(self) -> Exploration:
        """The frames and the model; opened if they have not been yet."""
        if self._exploration is None:
            self._open(new_clip=True)
        assert self._exploration is not None
        return self._exploration

    def _receive(self, widget: str, content: dict[str, Any]) -> None:
        """Handle a message of a widget in the browser."""
        kind = content.get("kind")
        if kind == "ready":
            self._displayed.add(widget)
            if self._exploration is None:
                self._reopen(new_clip=True)
            else:
                self._refresh()
        elif kind == "chosen":
            self.grid.step = min(max(content["index"], 1), self._steps - 1)
        elif kind in ("click", "move") and self._exploration is not None:
            x, y = content["x"], content["y"]
            if kind == "move":
                x, y = self._pixel[0] + x, self._pixel[1] + y
            else:
                x, y = self._pixel_of_frame_1(content["name"], x, y)
            self._pixel = self._inside(x, y)
            self._show_pixel()
        elif kind in ("hover", "leave") and self._exploration is not None and self._exploration.followed:
            if kind == "hover":
                self._show_path(*self._inside(*self._pixel_of_frame_1(content["name"], content["x"], content["y"])))
            else:
                self._show_path(*self._pixel)

    def _inside(self, x: int, y: int) -> tuple[int, int]:
        width, height = self.grid.size
        return min(max(x, 0), width - 1), min(max(y, 0), height - 1)

    def _pixel_of_frame_1(self, name: str, x: int, y: int) -> tuple[int, int]:
        """The pixel of frame 1 that is seen at (x, y) of a tile."""
        at = next((tile["at"] for tile in (*self.grid.fixed, *self.grid.moving) if tile["name"] == name), "0")
        t = self.grid.shown / self._steps
        if at == "t" and self.exploration.cached(t, self.switches):
            return result_layers.pixel_of_frame_1(self.exploration, t, self.switches, x, y)
        if at == "1":
            dx, dy = self.exploration.motion().flow_21[0, :, y, x].tolist()
            return round(x + dx), round(y + dy)
        return x, y

    def _take_path(self) -> None:
        """Open the path that was typed, whatever clip is selected."""
        controls, typed = self.controls, bool(self.controls.path.value.strip())
        if self._silent or (typed and controls.clip.value == choices.FOOTAGE and self._path == controls.path.value):
            return
        if typed:
            self._set(controls.clip, value=choices.FOOTAGE)
        if controls.clip.value == choices.FOOTAGE:
            self._reopen(new_clip=True)

    def _reopen(self, new_clip: bool) -> None:
        if self._displayed and not self._silent:
            self._report("")
            self.grid.busy = "opening"
            try:
                self._open(new_clip)
            except InputError as error:
                self._report(str(error))
            self.grid.busy = ""
            self._refresh()

    def _open(self, new_clip: bool) -> None:
        """Open what is chosen; the positions of a new clip are new, too."""
        controls = self.controls
        self._path = controls.path.value
        if new_clip:
            positions = choices.positions(controls.clip.value, controls.path.value)
            self._set(controls.position, options=positions)
            self._set(controls.position, value=positions[len(positions) // 2][1])
        choice = controls.clip.value, controls.path.value, controls.position.value
        quadruplet = choices.open_quadruplet(*choice, self._height)
        exploration = Exploration(load_model(controls.model.value)[0], quadruplet)
        exploration.motion()
        self._tiles = {}
        same_model = self._exploration is not None and self._exploration.model.config == exploration.model.config
        self._exploration = exploration
        for name, box in controls.switches.items():
            box.disabled = name not in exploration.available
            box.description = NAMES[name] if box.disabled else exploration.label(name)
            if not same_model:
                self._set(box, value=getattr(exploration.default, name))
        height, width = quadruplet.frames.shape[-2:]
        if self.grid.size != [width, height]:
            self._pixel = (width * 42 // 100, height // 2)
        self.grid.size = self.divider.size = [width, height]
        self.grid.fixed = input_tiles(self.exploration, self.controls.arrows.value)

    def _set(self, widget: Any, **values: Any) -> None:
        """Change a control without reacting to the change."""
        self._silent = True
        for name, value in values.items():
            setattr(widget, name, value)
        self._silent = False

    def _refresh(self) -> None:
        """Show what is ready, and compute what is not."""
        if self._exploration is None or not self._displayed or self._silent:
            return
        self._show()
        if self._task is not None and not self._task.done():
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # no kernel: all at once
            while self._compute_next():
                pass
        else:
            self._task = loop.create_task(self._compute_all())

    async def _compute_all(self) -> None:
        await asyncio.sleep(PAUSE)
        while self._compute_next():
            await asyncio.sleep(PAUSE)

    def _compute_next(self) -> bool:
        """Do the most urgent job; whether there was one."""
        job = next((job for job in self._jobs() if job not in self._tiles), None)
        follow = not self.exploration.followed and self.grid.shown == self.grid.step
        if job is None and not follow:
            return False
        try:
            if follow:  # once the first frame is seen
                self.exploration.paths()
                self._show_path(*self._pixel)
                return True
            assert job is not None
            self._tiles[job] = compute(self.exploration, job, job.step / self._steps)
        except InputError as error:
            self._report(str(error))
            self.grid.busy = self.divider.busy = self.film.busy = ""
            return False
        self._show()
        return True

    def _jobs(self) -> Iterator[Job]:
        """All jobs of what is displayed, the most urgent first."""
        switches, controls = self.switches, self.controls
        nearest = sorted(range(1, self._steps), key=lambda step: abs(step - self.grid.step))
        other = controls.other.value if "divider" in self._displayed else ""
        pair = toggled(switches, other) if other in self.exploration.available else None
        for step in nearest:
            yield Job(step, switches, controls.arrows.value)
            if step == self.grid.step:
                if pair:
                    yield Job(step, switches, pair)
                if controls.effects.value:
                    yield from (Job(step, switches, name) for name in self.exploration.available)
        if pair:
            yield from (Job(step, switches, pair) for step in nearest)

    def _show(self) -> None:
        step, switches, controls = self.grid.step, self.switches, self.controls
        every = [self._tiles.get(Job(n, switches, controls.arrows.value)) for n in range(1, self._steps)]
        ready = [tiles for tiles in every if tiles]
        controls.progress.value = len(ready)
        controls.progress.description = "all ready" if len(ready) == len(every) else f"{len(ready)} of {len(every)}"
        tiles = every[step - 1]
        if tiles is None:
            self.grid.busy = f"computing the frame at t = {step}/{self._steps}"
        else:
            names = self.exploration.available if controls.effects.value else ()
            effects = [self._tiles.get(Job(step, switches, name)) for name in names]
            with self.grid.hold_sync():
                self.grid.busy = "computing what each switch changes" if None in effects else ""
                self.grid.shown = step
                self.grid.moving = tiles + [effect[0] for effect in effects if effect]
                if bool(self.grid.fixed[-1]["arrows"]) != controls.arrows.value:
                    self.grid.fixed = input_tiles(self.exploration, self.controls.arrows.value)
                self._show_pixel()
        if "divider" in self._displayed:
            self._show_pair(tiles)
        if "film" in self._displayed:
            self._show_film(ready)

    def _show_pair(self, tiles: list[Tile] | None) -> None:
        step, switches, control = self.grid.step, self.switches, self.controls.other
        available = self.exploration.available
        names = {name: f"{'without' if getattr(switches, name) else 'with'} {NAMES[name]}" for name in available}
        options = tuple((text, name) for name, text in names.items())
        if control.options != options:
            self._set(control, options=options, value=control.value if control.value in names else available[0])
        pair = self._tiles.get(Job(step, switches, toggled(switches, control.value)))
        if tiles is None or pair is None:
            self.divider.busy = f"computing both frames at t = {step}/{self._steps}"
            return
        with self.divider.hold_sync():
            self.divider.busy, self.divider.shown = "", step
            self.divider.left = {**tiles[0], "name": "as switched above"}
            self.divider.right, self.divider.change = {**pair[0], "name": names[control.value]}, pair[1]

    def _show_film(self, ready: list[list[Tile]]) -> None:
        if len(ready) < self._steps - 1:
            self.film.busy = f"computing the film, {len(ready)} of {self._steps - 1} frames"
            return
        first, last = (next(tile for tile in self.grid.fixed if tile["at"] == at) for at in "01")
        new = [{**tiles[0], "name": f"t = {n}/{self._steps}"} for n, tiles in enumerate(ready, 1)]
        with self.film.hold_sync():
            self.film.busy = ""
            self.film.frames = [{key: frame[key] for key in ("name", "alt", "data")} for frame in (first, *new, last)]

    def _show_pixel(self) -> None:
        t = self.grid.step / self._steps
        motion = pixel_motion.pixel_motion(self.exploration.motion(), *self._pixel, t)
        with self.grid.hold_sync():
            self.grid.marks, self.grid.sentence = pixel_motion.marks(motion), pixel_motion.describe(motion, t)
            self.grid.drawing, self.grid.table = pixel_motion.draw(motion, t), pixel_motion.table(motion)
            if self.exploration.followed:
                self._show_path(*self._pixel)

    def _show_path(self, x: int, y: int) -> None:
        t = self.grid.step / self._steps
        path = pixel_path.pixel_path(self.exploration.paths(), x, y, t)
        with self.grid.hold_sync():
            self.grid.path_marks, self.grid.path_sentence = pixel_path.marks(path), pixel_path.describe(path, t)
            self.grid.path_drawing = pixel_path.draw(path, t)

    def _report(self, text: str) -> None:
        self.controls.message.value = f'<span role="alert"><b>{html.escape(text)}</b></span>' if text else ""
