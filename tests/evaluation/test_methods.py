"""Methods by name, the parameter files of the published rows, and LPIPS where its weights are."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from eqvi.cli import headless, study
from eqvi.errors import InputError
from eqvi.evaluation import methods
from eqvi.evaluation.lpips import FILES, LPIPS, open_lpips
from eqvi.evaluation.methods import BASELINES, MOTIONS, PUBLISHED, open_method
from eqvi.model.config import PRESETS
from eqvi.paths import NOTEBOOKS, PARAMS, RESULTS
from eqvi.reports.published import figures

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
        stems = {path.stem for path in study.all_notebooks()}
        shared = study.read_yaml(PARAMS / f"{name}.yaml", stems)
        return study.assign(shared, [], {NOTEBOOK: headless.parameters_of(NOTEBOOK)})[NOTEBOOK]

    def test_every_published_figure_has_one(self):
        runs = {figure.run for figure in figures(RESULTS)}
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
        (tmp_path / "bad.yaml").write_text("10_evaluate: {method: [blend]}\n")
        shared = study.read_yaml(tmp_path / "bad.yaml", {NOTEBOOK.stem})
        with pytest.raises(InputError, match="has no parameter 'method': did you mean 'methods'"):
            study.assign(shared, [], {NOTEBOOK: headless.parameters_of(NOTEBOOK)})

    def test_no_file_stands_idle(self):
        expected = {figure.run for figure in figures(RESULTS)} | {
            "baseline",
            "linear",
            "quadratic",
            "rectified",
            *BASELINES,
        }
        assert expected <= {path.stem for path in PARAMS.glob("*.yaml")}


def lpips_tensors() -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Weights of the right shapes, drawn at random."""
    shapes = {0: (64, 3, 11, 11), 3: (192, 64, 5, 5), 6: (384, 192, 3, 3), 8: (256, 384, 3, 3), 10: (256, 256, 3, 3)}
    features = {f"features.{n}.weight": 0.05 * torch.randn(shape) for n, shape in shapes.items()}
    features |= {f"features.{n}.bias": 0.1 * torch.randn(shape[0]) for n, shape in shapes.items()}
    lines = {f"lin{k}.model.1.weight": torch.rand(1, s[0], 1, 1) for k, s in enumerate(shapes.values())}
    return features, lines


class TestLPIPS:
    def test_it_is_the_distance_of_the_paper(self):
        """The formula again, written out with torch's own layers."""
        features, lines = lpips_tensors()
        frame, truth = torch.rand(1, 3, 70, 90), np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
        layers = {
            0: torch.nn.Conv2d(3, 64, 11, 4, 2),
            3: torch.nn.Conv2d(64, 192, 5, 1, 2),
            6: torch.nn.Conv2d(192, 384, 3, 1, 1),
            8: torch.nn.Conv2d(384, 256, 3, 1, 1),
            10: torch.nn.Conv2d(256, 256, 3, 1, 1),
        }
        order = [layers[0], torch.nn.ReLU(), torch.nn.MaxPool2d(3, 2), layers[3], torch.nn.ReLU()]
        order += [torch.nn.MaxPool2d(3, 2), layers[6], torch.nn.ReLU(), layers[8], torch.nn.ReLU(), layers[10]]
        alexnet = torch.nn.Sequential(*order, torch.nn.ReLU())
        alexnet.load_state_dict({name.removeprefix("features."): value for name, value in features.items()})
        rounded = (255 * frame).round() / 255
        shift = torch.tensor([-0.030, -0.088, -0.188]).view(3, 1, 1)
        scale = torch.tensor([0.458, 0.448, 0.450]).view(3, 1, 1)
        both = torch.cat([rounded, torch.from_numpy(truth).permute(2, 0, 1)[None] / 255])
        x, expected = (2 * both - 1 - shift) / scale, 0.0
        with torch.no_grad():
            for place, layer in enumerate(alexnet):
                x = layer(x)
                if place in (1, 4, 7, 9, 11):
                    a, b = F.normalize(x, eps=1e-10)
                    line = lines[f"lin{(1, 4, 7, 9, 11).index(place)}.model.1.weight"]
                    expected += float((line[0] * (a - b) ** 2).sum(0).mean())
        lpips = LPIPS(features, lines, "", "cpu")
        assert lpips(frame, truth) == pytest.approx(expected, rel=1e-4)
        equal = torch.from_numpy(truth).permute(2, 0, 1)[None] / 255
        assert lpips(equal, truth) == pytest.approx(0, abs=1e-6)

    def test_without_weights_it_is_not_measured(self, tmp_path):
        assert open_lpips(tmp_path) is None

    def test_with_weights_it_is(self, tmp_path):
        (tmp_path / "lpips").mkdir()
        for name, tensors in zip(FILES, lpips_tensors(), strict=True):
            torch.save(tensors, tmp_path / "lpips" / name)
        lpips = open_lpips(tmp_path)
        assert lpips is not None
        assert len(lpips.sha256) == 64
        assert lpips(torch.zeros(1, 3, 64, 64), np.full((64, 64, 3), 255, np.uint8)) > 0

    def test_half_of_the_weights_or_damaged_ones_are_refused(self, tmp_path):
        (tmp_path / "lpips").mkdir()
        torch.save({}, tmp_path / "lpips" / FILES[0])
        with pytest.raises(InputError, match=r"alex.pth: is missing: LPIPS needs both files"):
            open_lpips(tmp_path)
        (tmp_path / "lpips" / FILES[1]).write_bytes(b"no weights")
        with pytest.raises(InputError, match=r"alex.pth: cannot be read"):
            open_lpips(tmp_path)
        torch.save({}, tmp_path / "lpips" / FILES[1])
        with pytest.raises(InputError, match=r"the weights of LPIPS lack 'features.0.weight'"):
            open_lpips(tmp_path)


def test_our_own_weights_are_found_by_their_preset(tmp_path, monkeypatch):
    monkeypatch.setattr(methods, "WEIGHTS", tmp_path)
    assert methods.presets_with_weights() == []
    for name in ("eqvi-quarter-dis", "baseline", "mine"):
        (tmp_path / f"{name}.safetensors").touch()
    assert methods.presets_with_weights() == ["eqvi-quarter-dis"]
