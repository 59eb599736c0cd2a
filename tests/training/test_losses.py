"""The terms of the training loss, VGG-16's distance, and the released implementation's first three steps."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from published import GOLDEN, arrays, state_dict, window, write_checkpoint
from scipy.ndimage import gaussian_filter
from scipy.signal import convolve2d
from torch import Tensor

import eqvi
from eqvi import files
from eqvi.errors import InputError
from eqvi.model import torchvision_models
from eqvi.model.synthesis import blend
from eqvi.model.torchvision_models import VGG16, build
from eqvi.training import vgg as vgg_module
from eqvi.training.losses import PUBLISHED, TERMS, Loss, charbonnier, l1, ms_ssim
from eqvi.training.vgg import LAYERS, VGG, open_vgg

RECORDED = json.loads((GOLDEN / "losses.json").read_text())
EQUAL = {"laplacian": 0, "l1": 0, "charbonnier": 1e-3, "ms_ssim": 0, "vgg": 0}


def pair(height: int = 128, width: int = 128, batch: int = 2) -> tuple[Tensor, Tensor]:
    """Two random frames; the goldens' by default."""
    rng = np.random.default_rng(14)
    first, second = (torch.from_numpy(rng.random((batch, 3, height, width)).astype(np.float32)) for _ in range(2))
    return first, second


def picture(height: int = 64, width: int = 64) -> Tensor:
    """A smooth picture with some detail, in [0, 1]."""
    rough = np.random.default_rng(3).random((1, 3, height, width))
    smooth = gaussian_filter(rough, (0, 0, 2, 2)) + 0.1 * gaussian_filter(rough, (0, 0, 0.7, 0.7))
    return torch.from_numpy((smooth - smooth.min()) / (smooth.max() - smooth.min())).float()


def blurred(frame: Tensor, sigma: float) -> Tensor:
    return torch.from_numpy(gaussian_filter(frame.numpy(), (0, 0, sigma, sigma)))


@pytest.fixture(scope="module")
def vgg() -> VGG:
    """Random weights that keep the features' size from layer to layer, as trained ones do."""
    network = VGG(build(VGG16).features[:LAYERS].to_empty(device="cpu").requires_grad_(False))
    drawn = torch.Generator().manual_seed(1)
    for layer in network.features:
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight, generator=drawn)
            torch.nn.init.normal_(layer.bias, std=0.1, generator=drawn)
    return network


@pytest.fixture(scope="module")
def weights(vgg: VGG, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of random weights in torchvision's layout, the parts that are not read kept small."""
    path = tmp_path_factory.mktemp("vgg") / "vgg16.pth"
    others = {name: torch.zeros(2) for name in ("features.24.weight", "features.28.bias", "classifier.6.weight")}
    torch.save(vgg.state_dict() | others, path, _use_new_zipfile_serialization=False)
    return path


class TestTerms:
    def test_goldens(self, device: torch.device) -> None:
        frame, truth = (x.to(device) for x in pair())
        values = Loss(PUBLISHED)(frame, truth)
        assert {name: value.item() for name, value in values.items()} == pytest.approx(
            {name: RECORDED[name] for name in ("laplacian", "l1", "total")}, rel=1e-5
        )

    def test_a_gaussian_kernel_would_differ_from_the_goldens(self) -> None:
        """The published kernel, kept for parity, differs from the multiplied Gaussians that one expects."""
        frame, truth = pair()
        g = torch.exp(-torch.arange(-2.0, 3).square() / 8) ** 2
        kernel = (g[:, None] * g / g.sum() ** 2).expand(3, 1, 5, 5)
        difference, total = frame - truth, torch.zeros(())
        for _ in range(5):
            smooth = F.conv2d(F.pad(difference, (2, 2, 2, 2), mode="replicate"), kernel, groups=3)
            total += (difference - smooth).abs().mean()
            difference = F.avg_pool2d(smooth, 2)
        total += difference.abs().mean()
        assert abs(total.item() / RECORDED["laplacian"] - 1) > 1e-2

    def test_l1_and_charbonnier_equal_their_formulas(self) -> None:
        frame, truth = pair(5, 7)
        difference = frame.double() - truth.double()
        assert l1(frame, truth).item() == pytest.approx(difference.abs().mean().item(), rel=1e-6)
        for epsilon in (1e-3, 0.5):
            expected = (difference**2 + epsilon**2).sqrt().mean().item()
            assert charbonnier(frame, truth, epsilon).item() == pytest.approx(expected, rel=1e-6)
        assert torch.equal(charbonnier(frame, truth), charbonnier(frame, truth, 1e-3))

    @pytest.mark.parametrize("name", EQUAL)
    @pytest.mark.parametrize("kind", ["random", "black", "opposite"])
    def test_gradients_are_finite(self, name: str, kind: str, vgg: VGG) -> None:
        """Also where a square root or a power has none: equal frames, no contrast, opposite structure."""
        truth = torch.zeros(1, 3, 32, 32) if kind == "black" else pair(32, 32, batch=1)[0]
        frame = (1 - truth if kind == "opposite" else truth.clone()).requires_grad_()
        value = (TERMS | {"vgg": vgg})[name](frame, truth)
        value.backward()
        assert frame.grad is not None
        assert bool(frame.grad.isfinite().all())
        if kind == "opposite":
            assert value.item() > 0.01
        else:
            assert value.item() == pytest.approx(EQUAL[name], abs=1e-9)

    @pytest.mark.parametrize("name", EQUAL)
    def test_the_size_of_the_batch_does_not_matter(self, name: str, vgg: VGG) -> None:
        frame, truth = pair(32, 48)
        term = (TERMS | {"vgg": vgg})[name]
        alone = [term(frame[k : k + 1], truth[k : k + 1]).item() for k in range(2)]
        assert term(frame, truth).item() == pytest.approx(np.mean(alone), rel=1e-5)

    @pytest.mark.parametrize("name", EQUAL)
    def test_computes_in_float32_under_autocast(self, name: str, vgg: VGG) -> None:
        frame, truth = pair(32, 32)
        term = (TERMS | {"vgg": vgg})[name]
        plain = term(frame, truth)
        with torch.autocast("cpu", torch.bfloat16):
            assert F.conv2d(frame, torch.ones(1, 3, 1, 1)).dtype == torch.bfloat16
            assert torch.equal(term(frame, truth), plain)
            half = term(frame.bfloat16(), truth)
        assert half.dtype == torch.float32
        assert half.item() == pytest.approx(plain.item(), rel=0.05)

    @pytest.mark.parametrize(("name", "smallest"), [("laplacian", 32), ("ms_ssim", 11), ("vgg", 8)])
    def test_frames_too_small(self, name: str, smallest: int, vgg: VGG) -> None:
        loss = Loss({name: 1}, vgg)
        assert bool(loss(*pair(smallest, smallest))["total"].isfinite())
        with pytest.raises(InputError, match=rf"{name}.* at least {smallest}x{smallest}, these are 40x{smallest - 1}$"):
            loss(*pair(smallest - 1, 40))


class TestMultiScale:
    def independent(self, frame: Tensor, truth: Tensor, scales: int) -> float:
        """MS-SSIM of one picture as Wang et al. write it, in float64, window by window."""
        exponents = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])
        exponents = exponents[:scales] * exponents.sum() / exponents[:scales].sum()
        y, x = np.mgrid[-5:6, -5:6]
        window = np.exp(-(x**2 + y**2) / (2 * 1.5**2))
        window /= window.sum()
        c1, c2 = 0.01**2, 0.03**2
        values = []
        for a, b in zip(frame[0].double().numpy(), truth[0].double().numpy(), strict=True):
            value = 1.0
            for scale, exponent in enumerate(exponents, start=1):
                mean_a, mean_b, aa, bb, ab = (convolve2d(z, window, "valid") for z in (a, b, a * a, b * b, a * b))
                light = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
                structure = (2 * (ab - mean_a * mean_b) + c2) / (aa - mean_a**2 + bb - mean_b**2 + c2)
                value *= np.mean(light * structure if scale == scales else structure) ** exponent
                rows, columns = a.shape[0] // 2, a.shape[1] // 2
                a, b = (z[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2).mean((1, 3)) for z in (a, b))
            values.append(value)
        return 1 - float(np.mean(values))

    @pytest.mark.parametrize(
        ("height", "width", "scales"), [(11, 30, 1), (21, 30, 1), (22, 25, 2), (87, 90, 3), (88, 95, 4), (176, 180, 5)]
    )
    def test_equals_an_independent_computation(self, height: int, width: int, scales: int) -> None:
        truth = picture(height, width)
        frame = (blurred(truth, 1.2) * 0.9 + 0.05).clamp(0, 1)
        expected = self.independent(frame, truth, scales)
        assert 0.005 < expected < 0.5
        assert ms_ssim(frame, truth).item() == pytest.approx(expected, abs=2e-5)

    def test_grows_with_blur_and_is_symmetric(self) -> None:
        truth = picture()
        losses = [ms_ssim(blurred(truth, sigma), truth).item() for sigma in (0.5, 1, 2, 4)]
        assert losses == sorted(losses)
        assert 0 < losses[0] < losses[-1] < 1
        assert ms_ssim(truth, blurred(truth, 1)).item() == pytest.approx(losses[1], rel=1e-5)
        assert 0.9 < ms_ssim(1 - truth, truth).item() <= 1

    def test_opposite_detail_leaves_the_coarser_scales_to_learn_from(self) -> None:
        truth, board = 0.5 + 0.2 * picture(), torch.ones(64, 64)
        board[::2, ::2] = board[1::2, 1::2] = -1
        frame = (blurred(truth, 2) - 0.2 * board).requires_grad_()
        value = ms_ssim(frame, truth + 0.2 * board)
        value.backward()
        assert value < 0.9
        assert frame.grad is not None
        assert frame.grad.abs().max() > 1e-5


class TestLoss:
    def test_total_is_the_weighted_sum(self, vgg: VGG) -> None:
        frame, truth = pair(32, 32)
        weights = {"vgg": 0.005, "l1": 2, "ms_ssim": 0.25}
        found = Loss(weights, vgg)(frame, truth)
        assert list(found) == [*weights, "total"]
        alone = {"vgg": vgg(frame, truth), "l1": l1(frame, truth), "ms_ssim": ms_ssim(frame, truth)}
        assert all(torch.equal(found[name], alone[name]) for name in weights)
        total = sum(weight * alone[name].item() for name, weight in weights.items())
        assert found["total"].item() == pytest.approx(total, rel=1e-6)

    def test_gradient_is_that_of_the_sum(self) -> None:
        frame, truth = pair(32, 32)
        gradients = []
        for terms in ({"l1": 1.0}, {"laplacian": 1.0}, {"l1": 3.0, "laplacian": 0.5}):
            x = frame.clone().requires_grad_()
            Loss(terms)(x, truth)["total"].backward()
            assert x.grad is not None
            gradients.append(x.grad)
        assert torch.allclose(gradients[2], 3 * gradients[0] + 0.5 * gradients[1], atol=1e-8)

    def test_only_vgg_has_weights(self, vgg: VGG) -> None:
        assert list(Loss(PUBLISHED, vgg).parameters()) == []
        assert len(list(Loss({"vgg": 1}, vgg).parameters())) == 20

    @pytest.mark.parametrize(
        ("terms", "message"),
        [
            ({}, "no term"),
            ({"l2": 1.0}, "'l2' is not known: choose from laplacian, l1, charbonnier, ms_ssim, vgg"),
            ({"l1": 1.0, "laplacian": 0.0}, "weight 0.0 of loss term 'laplacian' must be a positive"),
            ({"l1": -1}, "weight -1 of"),
            ({"l1": float("nan")}, "weight nan of"),
            ({"l1": float("inf")}, "weight inf of"),
            ({"l1": "10"}, "weight '10' of"),
            ({"l1": True}, "weight True of"),
            ({"vgg": 1.0}, "open_vgg.*'ms_ssim'"),
        ],
    )
    def test_refusals(self, terms: dict, message: str, unchecked: None) -> None:
        with pytest.raises(InputError, match=message) as caught:
            Loss(terms)
        assert "\n" not in str(caught.value)


class TestVGG:
    def test_equals_the_layers_one_by_one(self, vgg: VGG) -> None:
        """Convolutions at torchvision's numbers, ReLU after each but conv4_3, pooling after conv1_2, 2_2 and 3_3."""
        tensors = vgg.state_dict()
        assert sum(value.numel() for value in tensors.values()) == 7_635_264
        frame, truth = pair(24, 40)
        features = []
        for x in (frame, truth):
            x = torch.stack(
                [(x[:, c] - m) / s for c, m, s in ((0, 0.485, 0.229), (1, 0.456, 0.224), (2, 0.406, 0.225))]
            )
            x = x.transpose(0, 1)
            for number in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21):
                x = F.max_pool2d(x, 2) if number in (5, 10, 17) else x
                x = F.conv2d(x, tensors[f"features.{number}.weight"], tensors[f"features.{number}.bias"], padding=1)
                x = x if number == 21 else x.clamp(min=0)
            features.append(x)
        assert features[0].shape == (2, 512, 3, 5)
        assert features[0].min() < 0
        expected = (features[0] - features[1]).square().mean().item()
        assert vgg(frame, truth).item() == pytest.approx(expected, rel=1e-5)

    def test_frozen(self, vgg: VGG) -> None:
        frame, truth = pair(16, 16, batch=1)
        frame.requires_grad_()
        loss = Loss({"vgg": 1.0}, vgg).train()
        before = [parameter.clone() for parameter in loss.parameters()]
        loss(frame, truth)["total"].backward()
        assert frame.grad is not None
        assert frame.grad.abs().max() > 0
        assert all(not parameter.requires_grad and parameter.grad is None for parameter in loss.parameters())
        assert all(torch.equal(a, b) for a, b in zip(before, loss.parameters(), strict=True))

    def test_opens_a_file_of_the_whole_network(self, weights: Path, vgg: VGG) -> None:
        opened = open_vgg(weights)
        assert all(torch.equal(value, vgg.state_dict()[name]) for name, value in opened.state_dict().items())
        assert not any(parameter.requires_grad for parameter in opened.parameters())
        assert opened.sha256 == files.sha256(weights)
        assert vgg.sha256 is None

    def test_a_missing_file_says_what_to_do(self, tmp_path: Path) -> None:
        with pytest.raises(InputError) as caught:
            open_vgg(tmp_path / "mine.pth")
        said = str(caught.value)
        assert said.startswith(f"{tmp_path}/mine.pth: there is no such file: `python -m eqvi download weights vgg` ")
        assert said.endswith("the term ms_ssim is its offline alternative")
        assert "\n" not in said

    @pytest.mark.parametrize("there", [True, False])
    def test_without_a_name_it_is_the_file_in_results_or_torchvisions_download(
        self, there: bool, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The download itself: `tests/model/test_torchvision_models.py`."""
        network = VGG16._replace(file=f"vgg16-{files.sha256(weights)[:8]}.pth")
        monkeypatch.setattr(torchvision_models, "WEIGHTS", tmp_path)
        monkeypatch.setattr(vgg_module, "VGG16", network)
        fetched = []
        monkeypatch.setattr(vgg_module, "download", lambda wanted: fetched.append(wanted) or weights)
        if there:
            network.path.parent.mkdir()
            network.path.symlink_to(weights)
        assert open_vgg().sha256 == files.sha256(weights)
        assert fetched == ([] if there else [network])

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (
                {"features.21.bias": None},
                r'is not VGG-16\'s .*Missing key.*"features.21.bias".*fetches VGG-16\'s weights',
            ),
            ({"features.22.bias": torch.zeros(2)}, r'is not VGG-16\'s .*Unexpected key.*"features.22.bias"'),
            ({"features.0.bias": torch.zeros(2)}, r"size mismatch for features.0.bias: .*\[2\].*\[64\]"),
            ({"features.0.bias": 3}, "holds no dictionary of tensors"),
        ],
    )
    def test_another_network_is_refused(self, change: dict, message: str, vgg: VGG, tmp_path: Path) -> None:
        tensors = {name: value for name, value in (vgg.state_dict() | change).items() if value is not None}
        torch.save(tensors, tmp_path / "other.pth")
        with pytest.raises(InputError, match=message):
            open_vgg(tmp_path / "other.pth")

    def test_damaged_files_are_refused(self, weights: Path, tmp_path: Path) -> None:
        cut = tmp_path / "cut.pth"
        cut.write_bytes(weights.read_bytes()[:100_000])
        with pytest.raises(InputError, match=r"cut\.pth: cannot be read"):
            open_vgg(cut)
        named = tmp_path / "vgg16-397923af.pth"
        named.symlink_to(weights)
        digest = files.sha256(weights)[:8]
        with pytest.raises(InputError, match=rf"damaged: its sha256 begins {digest}, not 397923af: `python"):
            open_vgg(named)


def test_three_steps_equal_the_released_implementation(tmp_path: Path) -> None:
    """Rectified motion, the loss on the clamped frame, flow network and context convolution frozen."""
    recorded = RECORDED["train"]
    model = eqvi.load(write_checkpoint(tmp_path / "golden.ckpt", state_dict("eqvi"))).train()
    assert model.config.motion == "rectified"
    frames, truth = window(arrays("eqvi")), arrays("train_target")["gt"]
    parts = {"refinenet": model.refinement, "masknet": model.mask, "synthesisnet": model.residual.unet}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert sum(parameter.numel() for parameter in trained) == 21_699_500
    adam, loss = torch.optim.Adam(trained, lr=1e-4), Loss(PUBLISHED)
    with torch.no_grad():
        motion = model.estimate_motion(frames)
    losses = []
    for step in range(4):
        with torch.set_grad_enabled(step < 3):
            result = model.interpolate(frames, motion, 0.5)
            total = loss(result.frame, truth)["total"]
        losses.append(total.item())
        if step == 3:
            break
        adam.zero_grad()
        total.backward()
        if step == 0:
            for name, part in parts.items():
                norm = torch.stack([parameter.grad.norm() for parameter in part.parameters()]).norm().item()
                assert norm == pytest.approx(recorded["grad_norms"][name], rel=1e-3), name
            free = blend(result.warped_1, result.warped_2, result.mask, 0.5) + result.residual
            assert torch.equal(free.clamp(0, 1), result.frame)
            assert loss(free.detach(), truth)["total"].item() > 1.01 * recorded["losses"][0]
        adam.step()
    assert losses[0] == pytest.approx(recorded["losses"][0], rel=1e-4)
    assert losses == pytest.approx(recorded["losses"], rel=0.02)
