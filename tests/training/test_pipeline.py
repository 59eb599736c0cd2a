"""Stages one after the other: what starts from what, and what became of each part of the model."""

from pathlib import Path

import pytest
import torch

from eqvi.model import checkpoint
from eqvi.model.config import EQVIConfig
from eqvi.model.eqvi import EQVI
from eqvi.model.scopeflow import ScopeFlow
from eqvi.training import monitor, pipeline
from eqvi.training.loading import validation_samples
from eqvi.training.losses import PUBLISHED, Loss
from eqvi.training.samples import FrameSample
from eqvi.training.stages import STAGES, freeze_all_but

NARROW = EQVIConfig(flow_width=0.25, refine_width=0.25, synthesis_width=0.25, context_channels=16, multi_scale=True)
RUNS = {"first": {"stage": "1"}, "second": {"stage": "2", "after": "first", "average": 0.5}}
COMMON = {"preset": "eqvi-quarter-dis", "crop": 64, "steps": 2, "batch": 1, "scored": 2, "score_every": 2}


class TestParts:
    def test_all_parameters_are_in_one_part_each(self) -> None:
        for model in (EQVI(NARROW), ScopeFlow(0.25)):
            parts = pipeline.parts_of(model)
            counted = [id(parameter) for part in parts.values() for parameter in part.parameters()]
            assert sorted(counted) == sorted(map(id, model.parameters()))
        assert list(parts) == ["flow", "occlusion"]
        whole = pipeline.parts_of(EQVI(NARROW))
        assert list(whole) == ["flow", "occlusion", "refinement", "mask", "residual", "context", "fusion"]

    def test_a_flow_network_has_one_hash_alone_and_within_a_model(self) -> None:
        model = EQVI(NARROW)
        assert isinstance(model.flow, ScopeFlow)
        alone, within = pipeline.hashes_of(model.flow), pipeline.hashes_of(model)
        assert alone == {name: within[name] for name in alone}

    def test_a_hash_sees_the_smallest_change_and_only_in_its_part(self) -> None:
        model = EQVI(NARROW)
        before = pipeline.hashes_of(model)
        assert model.mask is not None
        weight = next(model.mask.parameters())
        weight.data.view(-1)[0] = torch.nextafter(weight.data.view(-1)[0], torch.tensor(9.0))
        after = pipeline.hashes_of(model)
        assert {name for name in after if after[name] != before[name]} == {"mask"}

    @pytest.mark.parametrize("stage", [name for name in STAGES if name != "flow"])
    def test_table_says_what_learns(self, stage: str) -> None:
        model = EQVI(NARROW)
        freeze_all_but(model, STAGES[stage].trains)
        rows = [line.split(" | ") for line in pipeline.frozen_table(model).splitlines()[2:]]
        assert {row[0].strip("| ") for row in rows if "learns" in row[2]} == set(STAGES[stage].trains)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chain")


@pytest.fixture(scope="module")
def links(folder: Path) -> list[pipeline.Link]:
    return pipeline.train_chain(folder, RUNS, COMMON)


class TestChain:
    def test_each_starts_from_the_one_before(self, links: list[pipeline.Link]) -> None:
        first, second = links
        assert second.recipe.after == str(first.folder / "weights.safetensors")
        assert {name: second.before[name] for name in first.after} == first.after

    def test_what_trains_changes_and_nothing_else(self, links: list[pipeline.Link]) -> None:
        for link in links:
            changed = {name for name in link.after if link.after[name] != link.before[name]}
            assert changed == set(STAGES[link.recipe.stage].trains)

    def test_tables(self, links: list[pipeline.Link]) -> None:
        first, second = pipeline.chain_table(links).splitlines()[2:]
        assert first.startswith("| first | nothing | refinement, mask | 1,248,969 | ")
        assert second.startswith("| second | first | refinement, mask, residual | 1,371,860 | ")
        assert second.endswith(f" | {links[1].scores[0]['psnr']:.2f} dB | {links[1].scores[1]['psnr']:.2f} dB |")
        header, _, first, second = pipeline.parts_table(links).splitlines()
        assert header == "| run | refinement | mask | residual | context |"
        assert first.endswith(" new | none | none |")
        assert second.endswith(f" new | {links[1].after['context'][:6]} |")

    def test_frames_and_losses_are_those_of_the_weights_on_disk(self, links: list[pipeline.Link]) -> None:
        windows = [window for window in validation_samples(links[1].recipe) if isinstance(window, FrameSample)]
        frames = torch.cat([pipeline.frames_of(links, window)["second"] for window in windows])
        loss = Loss(PUBLISHED)(frames, torch.stack([window.truth for window in windows]))
        assert loss["total"].item() == pytest.approx(links[1].losses[1], rel=1e-5)
        assert links[1].losses[0] != pytest.approx(links[1].losses[1], rel=1e-5)

    def test_done_runs_are_only_read_until_restarted(self, links: list[pipeline.Link], folder: Path) -> None:
        curve = folder / "first" / "curve.csv"
        before = curve.stat().st_mtime_ns
        only = {"first": RUNS["first"]}
        assert pipeline.train_chain(folder, only, COMMON) == links[:1]
        assert curve.stat().st_mtime_ns == before
        assert pipeline.train_chain(folder, only, COMMON, restart=True) == links[:1]
        assert curve.stat().st_mtime_ns != before

    def test_model_so_far_is_the_averaged_one(self, links: list[pipeline.Link]) -> None:
        link = links[1]
        kept = checkpoint.load(link.folder / "weights.safetensors").state_dict()
        now = monitor.model_so_far(link.recipe, link.folder).state_dict()
        assert kept.keys() == now.keys()
        assert all(torch.equal(kept[name], now[name]) for name in kept)

    def test_examples_so_far_are_those_of_the_last_score(self, links: list[pipeline.Link]) -> None:
        link = links[1]
        examples = monitor.examples_so_far(link.recipe, link.folder)
        assert [list(example.frames) for example in examples] == [["blend", "warp", "model"]] * 2
        readings = [f"{link.scores[1]['psnr']:.6g}", f"{_mean_psnr(examples):.6g}"]
        assert readings[0] == readings[1]


def _mean_psnr(examples: list[monitor.Example]) -> float:
    from eqvi.metrics import psnr, to_8bit

    found = [psnr(to_8bit(example.frames["model"]), to_8bit(example.truth)) for example in examples]
    return sum(found) / len(found)
