"""Methods by name, and the parameter files of the published rows."""

import dataclasses

import pytest
import torch

from eqvi import EQVI
from eqvi.cli import headless, study
from eqvi.errors import InputError
from eqvi.evaluation import methods
from eqvi.evaluation.methods import BASELINES, MOTIONS, PUBLISHED, open_method
from eqvi.evaluation.shared_flow import SharedDIS, with_shared_flow
from eqvi.model.classical_flow import DIS
from eqvi.model.config import PRESETS
from eqvi.paths import NOTEBOOKS, PARAMS, RESULTS
from eqvi.reports.published import read_published

NOTEBOOK = NOTEBOOKS / "10_evaluate.ipynb"


class TestNames:
    @pytest.mark.parametrize("name", [*MOTIONS, "baseline", "baseline-linear", "blend", "minterpolate"])
    def test_what_needs_no_weights_is_there(self, name):
        method = open_method(name)
        assert (method.name, method.weights_sha256) == (name, None)

    def test_a_motion_model_is_the_baselines(self):
        assert open_method("rectified").preset == "baseline, motion rectified"

    def test_a_checkpoint_is_known_by_its_hash(self, tmp_path):
        import hashlib

        import eqvi
        from eqvi.model.checkpoint import save

        config = dataclasses.replace(PRESETS["eqvi-quarter-dis"], residual=False)
        save(eqvi.EQVI(config), tmp_path / "mine.safetensors")
        method = open_method(str(tmp_path / "mine.safetensors"))
        assert method.name == "mine"
        assert method.preset is None
        assert method.weights_sha256 == hashlib.sha256((tmp_path / "mine.safetensors").read_bytes()).hexdigest()

    def test_published_models_are_what_the_configuration_knows(self):
        assert {preset for _, preset in PUBLISHED.values()} <= PRESETS.keys()


class TestParameterFiles:
    def given(self, name: str) -> dict:
        shared = study.read_params(PARAMS / f"{name}.yaml", ())
        return study.assign(shared, [], {NOTEBOOK: headless.parameters_of(NOTEBOOK)})[NOTEBOOK]

    def test_every_published_figure_has_one(self):
        runs = set(read_published(RESULTS)["run"])
        assert len(runs) == 8
        for run in runs:
            given = self.given(run)
            assert f"{given['methods'][0]}_{given['datasets'][0]}" == run
            assert given["factor"] == 2

    @pytest.mark.parametrize("name", ["baseline", "linear", "quadratic", "rectified", *BASELINES])
    def test_so_has_everything_it_is_compared_with(self, name):
        given = self.given(name)
        assert given["methods"] == [name]
        assert given["datasets"] == ["val30", "vtsr5"]
        open_method(name)

    def test_a_misspelt_key_is_refused(self, tmp_path):
        (tmp_path / "bad.yaml").write_text("method: [blend]\n")
        shared = study.read_params(tmp_path / "bad.yaml", ())
        with pytest.raises(InputError, match="has a parameter 'method': did you mean 'methods'"):
            study.assign(shared, [], {NOTEBOOK: headless.parameters_of(NOTEBOOK)})

    def test_no_file_stands_idle(self):
        expected = set(read_published(RESULTS)["run"]) | {
            "baseline",
            "linear",
            "quadratic",
            "rectified",
            *BASELINES,
        }
        assert expected <= {path.stem for path in PARAMS.glob("*.yaml")}


def test_our_own_weights_are_found_by_their_preset(tmp_path, monkeypatch):
    monkeypatch.setattr(methods, "WEIGHTS", tmp_path)
    assert methods.presets_with_weights() == []
    for name in ("eqvi-quarter-dis", "baseline", "mine"):
        (tmp_path / f"{name}.safetensors").touch()
    assert methods.presets_with_weights() == ["eqvi-quarter-dis"]


def test_detail_after_a_model_means_that_what_warps_lose_is_given_back():
    method = open_method("baseline+8+detail")
    assert (method.name, method.preset) == ("baseline+8+detail", "baseline, trajectory 8, detail")
    assert open_method("baseline+detail").preset == "baseline, detail"


def test_two_way_after_a_number_of_frames_means_that_flows_of_both_ways_are_combined():
    method = open_method("baseline+8+two-way+detail")
    assert (method.name, method.preset) == ("baseline+8+two-way+detail", "baseline, trajectory 8, two-way, detail")
    assert open_method("baseline+8+two-way").preset == "baseline, trajectory 8, two-way"
    with pytest.raises(InputError, match="two_way=True needs a trajectory"):
        open_method("baseline+two-way")


def test_a_number_of_frames_after_a_model_means_trajectories_over_them():
    method = open_method("baseline+8")
    assert (method.name, method.preset, method.weights_sha256) == ("baseline+8", "baseline, trajectory 8", None)
    assert (method.neighbours, open_method("baseline").neighbours) == (3, 1)
    with pytest.raises(InputError, match="trajectory=7 must be an even number"):
        open_method("baseline+7")


def test_methods_that_are_opened_together_share_their_flows(monkeypatch):
    pairs = []
    pair = DIS.pair
    monkeypatch.setattr(DIS, "pair", lambda self, a, b: pairs.append(1) or pair(self, a, b))
    frames = torch.rand(1, 4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    shared = SharedDIS()
    models = [with_shared_flow(EQVI(PRESETS[name]).eval(), shared) for name in ("baseline", "baseline-rectified")]
    together = [model(frames, 0.5).frame for model in models]
    assert len(pairs) == 6  # those of RQFP, of which the quadratic model reads four
    alone = [EQVI(PRESETS[name]).eval()(frames, 0.5).frame for name in ("baseline", "baseline-rectified")]
    assert all(torch.equal(a, b) for a, b in zip(together, alone, strict=True))
