"""Methods by name, and the parameter files of the published rows."""

import dataclasses

import pytest
import torch

from eqvi import EQVI
from eqvi.cli import headless, study
from eqvi.errors import InputError
from eqvi.evaluation import methods, shared_flow
from eqvi.evaluation.methods import BASELINES, MOTIONS, PUBLISHED, open_method
from eqvi.evaluation.shared_flow import SharedFlow, SharedFlows
from eqvi.model.classical_flow import DIS
from eqvi.model.config import PRESETS
from eqvi.model.eqvi import make_flow
from eqvi.model.scopeflow import ScopeFlow
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


@pytest.mark.parametrize("flow", ["dis", "scopeflow"])
def test_models_with_one_flow_compute_it_once(flow, monkeypatch):
    """Also where the networks are two of the same weights; the frames are those of each model alone."""
    kind = DIS if flow == "dis" else ScopeFlow
    counts = {"features": 0, "between": 0}
    for name in counts:
        whole = getattr(kind, name)

        def counted(*arguments, name=name, whole=whole):
            counts[name] += 1
            return whole(*arguments)

        monkeypatch.setattr(kind, name, counted)
    clip = torch.rand(1, 5, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    config = dataclasses.replace(PRESETS["baseline"], flow=flow, flow_width=1 / 8)
    network = make_flow(flow, 1 / 8, 2)

    def models():
        for motion in ("quadratic", "rectified"):
            model = EQVI(dataclasses.replace(config, motion=motion)).eval()
            model.flow.load_state_dict(network.state_dict())
            yield model

    def frames_of(model):
        motion = model.estimate_motion(clip[:, :4])
        yield model.interpolate(clip[:, :4], motion, 0.5).frame
        yield model.interpolate(clip[:, 1:], model.estimate_motion(clip[:, 1:], previous=motion), 0.25).frame

    with torch.inference_mode():
        alone = [frame for model in models() for frame in frames_of(model)]
        counts |= dict.fromkeys(counts, 0)
        together, shared = list(models()), SharedFlows()
        for model in together:
            shared.share(model)
        found = list(zip(*map(frames_of, together), strict=True))
        frames = [frame for of_one in zip(*found, strict=True) for frame in of_one]
    assert counts == {"features": 5, "between": 6 + 4}, "those of RQFP, of which the quadratic model reads four"
    assert all(torch.equal(a, b) for a, b in zip(frames, alone, strict=True))


def test_flows_of_other_weights_or_settings_are_not_shared():
    torch.manual_seed(0)
    models = [EQVI(PRESETS["eqvi-quarter"]).eval() for _ in range(3)]
    models[1].flow.load_state_dict(models[0].flow.state_dict())
    models[2].flow.load_state_dict(models[0].flow.state_dict())
    models[2].flow.scalings = 1
    shared = SharedFlows()
    for model in models:
        shared.share(model)
    assert models[0].flow is models[1].flow is not models[2].flow
    models.append(EQVI(PRESETS["eqvi-quarter"]).eval())
    shared.share(models[3])
    assert len({id(model.flow) for model in models}) == 3


def test_a_network_with_a_count_among_its_weights_is_shared():
    """As the batch normalization of RAFT has one."""
    networks = [torch.nn.BatchNorm2d(3) for _ in range(3)]
    networks[2].num_batches_tracked += 1
    names = [shared_flow._identity(network) for network in networks]
    assert names[0] == names[1] != names[2]


def test_no_more_flows_are_remembered_than_a_window_needs(monkeypatch):
    monkeypatch.setattr(shared_flow, "REMEMBERED", 3)
    monkeypatch.setattr(shared_flow, "PICTURES", 2)
    flow = SharedFlow(DIS())
    pictures = [flow.features(torch.full((1, 3, 16, 16), value / 9)) for value in range(4)]
    pairs = [(a, b) for a in pictures for b in pictures]
    assert len(flow.between_all(pairs)) == 16
    assert (len(flow._flows), len(flow._features)) == (3, 2)
