"""However a run is interrupted, resuming it leads to the same weights and curves."""

import dataclasses
import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from small_runs import all_on, equal_runs, run, same, script_command, small_recipe
from torch import nn

from eqvi.errors import InputError, interruption_status
from eqvi.files import exclusive
from eqvi.paths import ROOT
from eqvi.training import trainer
from eqvi.training.distributed import Processes
from eqvi.training.loading import open_source
from eqvi.training.run_folder import read_curve
from eqvi.training.samples import WindowBatch
from eqvi.training.train import Progress, train
from eqvi.training.window_objective import WindowObjective

pytestmark = pytest.mark.usefixtures("tiny_presets")


class TestInterruptions:
    def test_kills_at_any_moment(self, store: Path, whole: Path, tmp_path: Path) -> None:
        draw = random.Random(3)
        killed = 0
        for kill in range(3):
            command = [sys.executable, *script_command(all_on(store), tmp_path)]
            process = subprocess.Popen(command, cwd=ROOT)
            started = time.monotonic()
            while time.monotonic() < started + 60 and process.poll() is None:
                # After some steps more than last time, at whatever moment.
                curve = tmp_path / "curve.csv"
                if curve.is_file() and curve.read_bytes().count(b"\n") > 1 + 2 * kill + draw.randrange(2):
                    break
                time.sleep(0.005)
            time.sleep(draw.uniform(0, 0.15))
            process.kill()
            killed += process.wait() == -signal.SIGKILL
        assert killed == 3
        assert not (tmp_path / "weights.safetensors").exists()
        run(all_on(store), tmp_path, save_every=0)
        assert equal_runs(tmp_path, whole)
        assert [int(row["step"]) for row in read_curve(tmp_path / "scores.csv")] == [0, 3, 6, 8]
        assert [int(row["step"]) for row in read_curve(tmp_path / "curve.csv")] == list(range(1, 9))

    @pytest.mark.parametrize("call", range(1, 5))
    def test_interrupted_before_or_after_the_state_is_in_place(
        self, call: int, store: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        saved = os.replace
        count = 0

        def dying(before: Any, after: Any) -> None:
            nonlocal count
            if str(after).endswith("state.pt"):
                count += 1
                if count == 2 * call:
                    if call % 2:
                        saved(before, after)
                    raise KeyboardInterrupt
            saved(before, after)

        monkeypatch.setattr(os, "replace", dying)
        with pytest.raises(KeyboardInterrupt):
            run(all_on(store), tmp_path, save_every=0)
        monkeypatch.setattr(os, "replace", saved)
        with (tmp_path / "curve.csv").open("a") as file:
            file.write("9,0,0.00")  # a row that a kill has cut short
        run(all_on(store), tmp_path, save_every=0)
        assert equal_runs(tmp_path, whole)

    def test_killed_before_its_first_state(self, store: Path, whole: Path, tmp_path: Path) -> None:
        for name in ("curve.csv", "scores.csv"):
            lines = (whole / name).read_bytes().splitlines(keepends=True)
            (tmp_path / name).write_bytes(b"".join(lines[:3]))
        run(all_on(store), tmp_path)
        assert equal_runs(tmp_path, whole)

    def test_a_time_budget(self, store: Path, whole: Path, tmp_path: Path) -> None:
        recipe = all_on(store)
        outcomes = []
        while not outcomes or outcomes[-1].step < 8:
            outcomes.append(train(recipe, tmp_path, minutes=1e-9, progress=False))
            assert (tmp_path / "weights.safetensors").exists() == (outcomes[-1].step == 8)
        assert [outcome.step for outcome in outcomes] == list(range(1, 9))
        assert equal_runs(tmp_path, whole)

    @pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
    def test_signals(self, name: str, store: Path, whole: Path, tmp_path: Path) -> None:
        def stop(progress: Progress) -> None:
            if progress.step == 3:
                os.kill(os.getpid(), getattr(signal, name))

        before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
        with pytest.raises(KeyboardInterrupt) as interruption:
            train(all_on(store), tmp_path, progress=False, on_validation=stop)
        assert interruption_status(interruption.value) == 128 + getattr(signal, name)
        assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before
        assert torch.load(tmp_path / "state.pt")["step"] == 3
        run(all_on(store), tmp_path)
        assert equal_runs(tmp_path, whole)

    def test_a_finished_run_is_left_as_it_is(self, store: Path, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in whole.iterdir()}
        monkeypatch.setattr(trainer, "initial_model", lambda _: pytest.fail("a model was built"))
        outcome = train(all_on(store), whole, progress=False)
        assert (outcome.step, outcome.steps) == (8, 8)
        assert outcome.scores == json.loads((whole / "run.json").read_text())["scores"]
        assert {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in whole.iterdir()} == before

    def test_lost_weights_are_written_again(self, store: Path, whole: Path, tmp_path: Path) -> None:
        for path in whole.iterdir():
            if path.name != "weights.safetensors":
                (tmp_path / path.name).write_bytes(path.read_bytes())
        run(all_on(store), tmp_path)
        assert equal_runs(tmp_path, whole)
        assert "weights_sha256" in json.loads((tmp_path / "run.json").read_text())

    def test_a_folder_in_use_is_refused(self, store: Path, tmp_path: Path) -> None:
        with exclusive(tmp_path), pytest.raises(InputError, match="another process works there now"):
            run(small_recipe(), tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]

    def test_another_recipe_is_refused_by_name(self, store: Path, whole: Path) -> None:
        recipe = all_on(store)
        for name, value in (("rate", 2e-3), ("seed", 1), ("augment", "none"), ("terms", {"l1": 1.0})):
            with pytest.raises(InputError, match=f"holds a run with {name}="):
                train(dataclasses.replace(recipe, **{name: value}), whole, progress=False)


class TestFailures:
    def test_a_loss_that_is_not_finite_saves_its_batch(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        recipe, source = small_recipe(accumulate=2), open_source(small_recipe(), Processes("cpu"))
        clean, calls = WindowObjective.forward, []

        def failing(self: WindowObjective, batch: WindowBatch) -> dict[str, torch.Tensor]:
            calls.append(batch)
            losses = clean(self, batch)
            return {name: value * (torch.nan if len(calls) == 5 else 1) for name, value in losses.items()}

        monkeypatch.setattr(WindowObjective, "forward", failing)
        with pytest.raises(
            InputError, match=r"step 3: .*total nan.*the batch is in .*bad_batch_0.safetensors"
        ) as error:
            run(recipe, tmp_path, save_every=0)
        assert "\n" not in str(error.value)
        saved = load_file(tmp_path / "bad_batch_0.safetensors")
        # Two steps of two windows came before.
        for part in (0, 1):
            window = source.sample(4 + part)
            assert torch.equal(saved[f"{part}.frames"][0], window.frames)
            assert torch.equal(saved[f"{part}.truth"][0], window.truth)
            assert saved[f"{part}.t"].item() == window.t
        state = torch.load(tmp_path / "state.pt")
        assert state["step"] == 2
        assert all(value.isfinite().all() for value in state["model"].values())
        monkeypatch.setattr(WindowObjective, "forward", clean)
        assert same(run(recipe, tmp_path), run(recipe, tmp_path / "whole"))

    def test_a_gradient_that_is_not_finite_ends_the_run(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(nn.utils, "clip_grad_norm_", lambda *_: torch.tensor(torch.inf))
        with pytest.raises(InputError, match="step 1: gradient inf: the batch"):
            run(small_recipe(), tmp_path)

    @pytest.mark.parametrize("failing", ["torch.save", "os.replace"])
    def test_a_full_disk_keeps_the_last_state(
        self, failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        recipe, count = small_recipe(), 0
        owner, name = (torch, "save") if failing == "torch.save" else (os, "replace")
        clean = getattr(owner, name)

        def full(*given: Any) -> None:
            nonlocal count
            count += name == "save" or str(given[1]).endswith("state.pt")
            if count == 3:
                raise OSError(errno.ENOSPC, "No space left on device")
            clean(*given)

        monkeypatch.setattr(owner, name, full)
        with pytest.raises(InputError, match=r"state.pt: cannot be written: the disk is full"):
            run(recipe, tmp_path, save_every=0)
        monkeypatch.setattr(owner, name, clean)
        assert [path.name for path in tmp_path.glob(".*")] == [".lock"]
        assert torch.load(tmp_path / "state.pt")["step"] == 2
        assert same(run(recipe, tmp_path), run(recipe, tmp_path / "whole"))

    @pytest.mark.parametrize("damage", ["cut", "empty", "text", "other", "bit"])
    def test_a_damaged_state_is_refused(self, damage: str, whole: Path, store: Path, tmp_path: Path) -> None:
        path, content = tmp_path / "state.pt", (whole / "state.pt").read_bytes()
        path.write_bytes({"cut": content[: len(content) // 2], "text": b"nonsense"}.get(damage, b""))
        if damage == "bit":  # in the middle of a tensor, where torch itself looks at no checksum
            path.write_bytes(
                content[: len(content) // 2]
                + bytes([content[len(content) // 2] ^ 1])
                + content[len(content) // 2 + 1 :]
            )
        if damage == "other":
            torch.save({"weights": torch.zeros(1)}, path)
        with pytest.raises(InputError, match=r"state.pt: cannot be read .*: remove it to start anew"):
            run(all_on(store), tmp_path)
