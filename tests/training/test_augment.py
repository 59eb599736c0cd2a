"""Augmented windows: frames, flows and t stay consistent."""

import random
from collections import Counter

import pytest
import torch
from torch import Tensor

from eqvi.datasets.windows import FIRST, TIMES, WINDOW_PAIRS
from eqvi.errors import InputError
from eqvi.model.geometry import backward_warp
from eqvi.model.motion import FLOW_PAIRS
from eqvi.training.augment import augment, crop, flip, mirror, recolour, reverse, transpose
from eqvi.training.samples import FrameSample, WindowSample

# Every quarter of the picture moves as d(s) = v s + 4 n s^2; v + n is a multiple of 4, so d is whole at s = 1/4 too.
T = 0.25
PATHS = [((-5, 1), (-4, 0)), ((5, -1), (0, 0)), ((-1, 1), (4, 0)), ((1, -1), (-1, 1))]
# Farther than anything moves in the four frames in the middle: so close to a quarter's rim another one may show.
MARGIN = 20


def displacement(path: tuple[tuple[int, int], tuple[int, int]], s: float) -> list[int]:
    values = [v * s + 4 * n * s * s for v, n in path]
    assert all(value == round(value) for value in values)
    return [round(value) for value in values]


def quadratic_window(height: int = 112, width: int = 96) -> WindowSample:
    """A window whose quarters move each in its own way, quadratically and by whole pixels, with its exact flows."""
    make = torch.Generator().manual_seed(0)
    times = [*TIMES, T]
    pictures = torch.zeros(len(times), 3, height, width)
    flows, flow = torch.zeros(len(WINDOW_PAIRS), 2, height, width), torch.zeros(2, 2, height, width)
    for quarter, path in enumerate(PATHS):
        down, across = divmod(quarter, 2)
        rows = slice(down * height // 2, (down + 1) * height // 2)
        columns = slice(across * width // 2, (across + 1) * width // 2)
        texture = torch.rand(3, height, width, generator=make)
        moved = {s: torch.tensor(displacement(path, s)) for s in times}
        for index, s in enumerate(times):
            shift = (int(moved[s][1]), int(moved[s][0]))
            pictures[index, :, rows, columns] = texture.roll(shift, (1, 2))[:, rows, columns]
        for index, (a, b) in enumerate(WINDOW_PAIRS):
            flows[index, :, rows, columns] = (moved[TIMES[b]] - moved[TIMES[a]])[:, None, None].float()
        for index in range(2):
            flow[index, :, rows, columns] = (moved[index] - moved[T])[:, None, None].float()
    visibility = torch.rand(2, height, width, generator=make).round()
    return WindowSample(pictures[:-1], pictures[-1], T, flow, visibility, flows)


def inside(pictures: Tensor) -> Tensor:
    """The pixels that stay in their quarter throughout."""
    height, width = (length // 2 for length in pictures.shape[-2:])
    keep = torch.zeros(height, width, dtype=torch.bool)
    keep[MARGIN : height - MARGIN, MARGIN : width - MARGIN] = True
    assert keep.any()
    return pictures[..., keep.repeat(2, 2)]


def assert_consistent(window: WindowSample) -> None:
    """Of the four frames in the middle: warping frame b by F_ab gives frame a, warping I1 and I2 by the flows from t
    gives the truth, and warping the truth by the quadratic F_1t gives I1."""
    middle = window.frames[FIRST - 1 : FIRST + 3]

    def assert_warped(picture: Tensor, flow: Tensor, expected: Tensor) -> None:
        warped = backward_warp(picture[None], flow[None])[0]
        torch.testing.assert_close(inside(warped), inside(expected), atol=1e-4, rtol=0)

    for (a, b), flow in zip(FLOW_PAIRS, window.flows, strict=False):
        assert_warped(middle[b], flow, middle[a])
    for frame, flow in zip(middle[1:3], window.flow, strict=True):
        assert_warped(frame, flow, window.truth)
    back, forth, t = window.flows[0], window.flows[1], window.t
    assert_warped(window.truth, (forth - back) / 2 * t + (forth + back) / 2 * t**2, middle[1])


def without_flows(window: WindowSample) -> FrameSample:
    return FrameSample(window.frames[FIRST - 1 : FIRST + 3], window.truth, window.t)


def assert_equal(one: WindowSample | FrameSample, other: WindowSample | FrameSample) -> None:
    for name, a, b in zip(one._fields, one, other, strict=True):
        assert torch.equal(a, b) if isinstance(a, Tensor) else a == b, name


def test_the_window_of_these_tests_is_consistent():
    window = quadratic_window()
    assert_consistent(window)
    with pytest.raises(AssertionError):
        assert_consistent(window._replace(flows=window.flows.flip(1)))
    with pytest.raises(AssertionError):
        assert_consistent(window._replace(flow=window.flow.flip(0)))
    with pytest.raises(AssertionError):
        assert_consistent(window._replace(t=1 - window.t))


@pytest.mark.parametrize("change", [mirror, flip, transpose, reverse], ids=lambda change: change.__name__)
class TestTransforms:
    @pytest.mark.parametrize("size", [(96, 96), (112, 96), (88, 104)])
    def test_flows_stay_exact(self, change, size):
        window = quadratic_window(*size)
        changed = change(window)
        assert_consistent(changed)
        assert not torch.equal(changed.frames.flatten(), window.frames.flatten())

    def test_applied_twice_it_is_the_identity(self, change):
        window = quadratic_window()
        assert_equal(change(change(window)), window)

    def test_results_are_contiguous_and_the_window_is_not_modified(self, change):
        window, again = quadratic_window(), quadratic_window()
        changed = change(window)
        assert all(part.is_contiguous() for part in changed if isinstance(part, Tensor))
        for part in (changed.frames, changed.flow, changed.visibility, changed.flows):
            part.zero_()
        assert_equal(window, again)

    def test_a_window_without_flows(self, change):
        window = quadratic_window()
        assert_equal(change(without_flows(window)), without_flows(change(window)))


def test_each_transform_moves_the_pixels_that_its_name_says():
    window = quadratic_window()
    assert torch.equal(mirror(window).frames[..., 0], window.frames[..., -1])
    assert torch.equal(flip(window).truth[:, 0], window.truth[:, -1])
    assert torch.equal(transpose(window).truth[:, 3, 7], window.truth[:, 7, 3])
    assert torch.equal(reverse(window).frames[0], window.frames[7])
    assert (reverse(window).t, mirror(window).t) == (1 - T, T)


def test_recolour_permutes_the_channels_alone():
    window = quadratic_window()
    changed = recolour(window, (2, 0, 1))
    assert torch.equal(changed.frames[:, 0], window.frames[:, 2])
    assert torch.equal(changed.truth[1], window.truth[0])
    assert_consistent(changed)
    with pytest.raises(InputError, match=r"order \(0, 1, 1\) of the colours"):
        recolour(window, (0, 1, 1))


def test_crop_is_a_slice_of_frames_and_flows():
    window = quadratic_window()
    part = crop(window, y=5, x=7, height=30, width=20)
    assert part.frames.shape == (8, 3, 30, 20)
    assert torch.equal(part.truth, window.truth[:, 5:35, 7:27])
    assert torch.equal(part.flows, window.flows[:, :, 5:35, 7:27])
    assert all(tensor.is_contiguous() for tensor in part if isinstance(tensor, Tensor))
    assert_equal(crop(window, 0, 0, 112, 96), window)


@pytest.mark.parametrize("box", [(-1, 0, 8, 8), (0, 90, 8, 8), (110, 0, 8, 8), (0, 0, 0, 8)])
def test_a_crop_beyond_the_window_is_refused(box):
    with pytest.raises(InputError, match="is not within the 96x112 of the window"):
        crop(quadratic_window(), *box)


class TestRandom:
    def small(self, width: int = 6) -> FrameSample:
        make = torch.Generator().manual_seed(1)
        pictures = torch.rand(5, 3, 6, width, generator=make)
        return FrameSample(pictures[:4], pictures[4], T)

    def test_none_returns_the_window(self):
        window = self.small()
        assert augment(window, random.Random(0), "none") is window

    def test_published_mirrors_and_reverses_together_half_of_the_time(self):
        window, both = self.small(), reverse(mirror(self.small()))
        draw, changed = random.Random(0), 0
        for _ in range(1000):
            result = augment(window, draw, "published")
            assert_equal(result, window if result.t == T else both)
            changed += result.t != T
        assert 450 < changed < 550  # three standard deviations are 47

    @pytest.mark.parametrize(("width", "kinds"), [(6, 16 * 6), (8, 8 * 6)])
    def test_full_draws_every_combination_equally(self, width, kinds):
        window, draw = self.small(width), random.Random(0)
        counts = Counter(augment(window, draw, "full").frames.numpy().tobytes() for _ in range(40 * kinds))
        assert len(counts) == kinds
        assert max(counts.values()) < 80

    @pytest.mark.parametrize("seed", range(12))
    def test_full_keeps_flows_exact(self, seed):
        assert_consistent(augment(quadratic_window(96, 96), random.Random(seed), "full"))

    def test_the_number_of_draws_does_not_depend_on_the_shape(self):
        draws = [random.Random(3), random.Random(3)]
        for draw, width in zip(draws, (6, 8), strict=True):
            assert augment(self.small(width), draw, "full").truth.shape == (3, 6, width)
        assert draws[0].random() == draws[1].random()
