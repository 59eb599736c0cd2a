"""Trajectories over n frames: the identities that define them."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F

from eqvi import EQVI, PRESETS, InputError
from eqvi.model import motion
from eqvi.model.blur import gaussian_blur
from eqvi.model.trajectories import (
    SPACING,
    Position,
    at_followed,
    at_pixels,
    chain,
    correction,
    follow_both,
    frame_times,
    gate,
    lagrange_weights,
    path_displacement,
    seen_forwards,
    trusted_mean,
)

SIZE = (12, 16)


def field(*values: float) -> torch.Tensor:
    """A field that moves every pixel alike, (1, 2, H, W)."""
    return torch.tensor(values).view(1, 2, 1, 1).expand(1, 2, *SIZE)


def positions_on(path, times) -> dict[int, Position]:
    """Fully trusted positions on a path, relative to the one at time 0."""
    whole = torch.ones(1, 1, *SIZE)
    return {s: Position(field(*(path(s) - path(0))), whole) for s in times if s != 0}


def polynomial(degree: int):
    """A path of that degree with drawn coefficients: time to (x, y), float64."""
    coefficients = torch.randn(degree + 1, 2, dtype=torch.float64)
    return lambda s: sum(c * float(s) ** power for power, c in enumerate(coefficients))


@pytest.mark.parametrize("count", [2, 4, 6, 8, 10])
def test_weights_sum_to_one_and_pick_the_sample_at_its_own_time(count):
    times = frame_times(count)
    assert len(times) == count
    assert sum(lagrange_weights(times, 0.3)) == pytest.approx(1)
    for s in times:
        assert lagrange_weights(times, float(s)) == [float(r == s) for r in times]


def test_weights_of_one_time_per_sample_of_the_batch():
    t = torch.tensor([0.25, 0.5]).view(2, 1, 1, 1)
    several = lagrange_weights(frame_times(4), t)
    for sample, one in enumerate((0.25, 0.5)):
        expected = lagrange_weights(frame_times(4), one)
        assert [float(w[sample]) for w in several] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("times", [(-1, 0, 1, 2), (0, 1, 2), (-3, -1, 0, 1, 2, 4), tuple(frame_times(8))])
def test_a_polynomial_one_degree_below_the_number_of_samples_is_met(times):
    path = polynomial(len(times) - 1)
    for t in (0.25, 0.5, 0.9):
        found = path_displacement(positions_on(path, times), times, t)
        torch.testing.assert_close(found.displacement.double(), field(*(path(t) - path(0))).double())
        assert (found.trust == 1).all()


def test_two_frames_are_linear_motion():
    there = field(3.0, -2.0)
    found = path_displacement({1: Position(there, torch.ones(1, 1, *SIZE))}, frame_times(2), 0.3)
    torch.testing.assert_close(found.displacement, motion.linear(there, 0.3))


def test_four_frames_are_the_mean_of_the_two_quadratics_at_the_middle():
    """Seen from frame 1 (-1, 0, 1) and from frame 2 (0, 1, 2): half of each at t = 1/2, as positions of one pixel."""
    path, t = polynomial(5), 0.5
    at = positions_on(path, frame_times(4))
    first = motion.quadratic(at[-1].displacement, at[1].displacement, t)
    # The same pixel seen from frame 2, where it stands at path(1): its displacements are relative to that.
    onward, back = at[2].displacement - at[1].displacement, -at[1].displacement
    second = at[1].displacement + motion.quadratic(onward, back, 1 - t)
    found = path_displacement(at, frame_times(4), t).displacement
    torch.testing.assert_close(found, (first + second) / 2)


def test_a_static_clip_is_not_corrected():
    still = torch.zeros(1, 2, *SIZE)
    positions = dict(enumerate(chain(lambda a, b: still, 3, 1, 4), 1))
    positions |= {-k: p for k, p in enumerate(chain(lambda a, b: still, 3, -1, 3), 1)}
    assert (correction(still, positions, 8, 0.5) == 0).all()


def test_chains_add_up_uniform_motion_and_trust_it_inside_the_frame():
    flows = {(a, b): field(float(b - a), 0.0) for a in range(4) for b in (a - 1, a + 1)}
    places = chain(lambda a, b: flows[a, b], 0, 1, 3)
    for k, place in enumerate(places, 1):
        torch.testing.assert_close(place.displacement, field(float(k), 0.0))
        assert (place.trust[..., : SIZE[1] - k] == 1).all()
        assert (place.trust[..., SIZE[1] - k :] == 0).all()


def test_a_chain_that_does_not_return_is_not_trusted():
    flows = {(0, 1): field(2.0, 0.0), (1, 0): field(1.0, 0.0)}
    (place,) = chain(lambda a, b: flows[a, b], 0, 1, 1)
    assert float(place.trust[..., : SIZE[1] - 2].max()) == pytest.approx(math.exp(-3))


def test_correction_moves_a_quadratic_to_the_longer_path_where_trust_is_full():
    path, t = polynomial(7), 0.5
    positions = positions_on(lambda s: 0.1 * path(s / 4), frame_times(8))
    model = motion.quadratic(positions[-1].displacement, positions[1].displacement, t)
    wanted = path_displacement(positions, frame_times(8), t).displacement - model
    # 0.02 of evidence is kept back, so that nothing is divided by zero.
    torch.testing.assert_close(1.02 * correction(model, positions, 8, t), wanted)


@pytest.mark.parametrize("size", [(64, 96), (61, 99), (5, 300)])
def test_every_eighth_pixel_is_followed_as_if_all_were(size):
    torch.manual_seed(1)
    flows = {pair: gaussian_blur(40 * torch.randn(1, 2, *size), 6) for pair in ((0, 1), (1, 0), (1, 2), (2, 1))}
    every = chain(lambda a, b: flows[a, b], 0, 1, 2)
    some = chain(lambda a, b: flows[a, b], 0, 1, 2, SPACING)
    for all_pixels, followed in zip(every, some, strict=True):
        assert followed.displacement.shape[-2:] == tuple(-(-side // SPACING) for side in size)
        # Each followed pixel is the middle of a square, between four of the others.
        torch.testing.assert_close(at_followed(all_pixels.displacement), followed.displacement, atol=0.1, rtol=0)


def test_the_gate_closes_on_a_path_that_is_wild_and_rough():
    def shake(cycles: float):
        return lambda s: torch.tensor((10 * math.sin(2 * math.pi * cycles * s + 1), 0.0))

    fast, slow = (positions_on(shake(cycles), frame_times(8)) for cycles in (0.45, 0.2))
    assert (gate(fast, 640) == 0).all()  # third differences of some 50 pixels, near the highest frequency
    assert (gate(fast, 10_000) == 1).all()  # which are little in a frame of 10 000
    assert (gate(slow, 640) == 1).all()  # well sampled, if large


def clip(count: int, size: tuple[int, int] = (64, 96)) -> torch.Tensor:
    """A texture that shakes as a whole, (1, count, 3, H, W), smoothed noise moved by a sine of period five frames."""
    rows, columns = (torch.arange(n, dtype=torch.float32) for n in size)
    x, y = columns.expand(size), rows[:, None].expand(size)
    frames = []
    for number in range(count):
        dx = 1.5 * math.sin(2 * math.pi * number / 5)
        waves = [torch.sin((x + dx) / a + y / b) for a, b in ((3, 7), (5, 4), (9, 5))]
        frames.append(torch.stack(waves) / 2 + 0.5)
    return torch.stack(frames)[None]


class TestModel:
    def model(self, trajectory: int, motion: str = "quadratic") -> EQVI:
        return EQVI(dataclasses.replace(PRESETS["baseline"], motion=motion, trajectory=trajectory)).eval()

    def test_without_trajectories_a_window_has_four_frames(self):
        with pytest.raises(InputError, match=r"give \(B, 4, 3, H, W\)"):
            self.model(0).estimate_motion(clip(8))

    @pytest.mark.parametrize("count", [2, 4])
    def test_windows_of_two_and_four_frames_keep_working(self, count):
        frames = clip(count)
        longer, paper = self.model(8), self.model(0)
        result = longer.interpolate(frames, longer.estimate_motion(frames), 0.5)
        expected = paper.interpolate(frames, paper.estimate_motion(frames), 0.5)
        assert torch.equal(result.frame, expected.frame) == (count == 2)  # four frames know more than three
        assert (result.frame - expected.frame).abs().mean() < 0.01

    @pytest.mark.parametrize("motion", ["linear", "quadratic", "least_squares", "rectified"])
    def test_eight_frames_place_a_shaking_camera_better_than_four(self, motion):
        shaken = clip(15)
        frames, truth = shaken[:, ::2], shaken[:, 7]  # every second frame dropped; the middle one is to be found
        errors = []
        for model, window in ((self.model(0, motion), frames[:, 2:6]), (self.model(8, motion), frames)):
            new = model.interpolate(window, model.estimate_motion(window), 0.5).frame
            errors.append(float((new - truth)[..., 12:-12, 12:-12].square().mean()))
        assert errors[1] < 0.8 * errors[0]

    def test_a_running_clip_computes_no_flow_twice(self, monkeypatch):
        model, calls = self.model(6), []
        between = model.flow.between
        monkeypatch.setattr(model.flow, "between", lambda a, b: calls.append((id(a), id(b))) or between(a, b))
        frames, motion = clip(9), None
        for start in range(4):
            motion = model.estimate_motion(frames[:, start : start + 6], previous=motion)
            assert len(calls) == 10 + 2 * start
        alone = model.estimate_motion(frames[:, 3:9])
        for mine, other in zip(motion.positions, alone.positions, strict=True):
            assert all(torch.equal(mine[s].displacement, other[s].displacement) for s in mine)

    @pytest.mark.parametrize("trajectory", [2, 5, -4])
    def test_numbers_of_frames_that_make_no_path_are_refused(self, trajectory):
        with pytest.raises(InputError, match="must be an even number of frames, at least 4, or 0"):
            self.model(trajectory)


def test_a_mean_leaves_out_what_is_not_trusted():
    values, trust = field(1.0, 1.0).clone(), torch.ones(1, 1, *SIZE)
    values[..., 8:], trust[..., 8:] = 7.0, 0.0
    mean = trusted_mean(values, trust, 3.0)
    assert float(mean.max()) <= 1.0
    assert float(mean[..., 0].min()) == pytest.approx(1 / 1.02, rel=1e-3)


def test_blur_keeps_constants_and_the_total_even_where_the_kernel_is_wider_than_the_image():
    flat = torch.full((1, 1, 5, 7), 2.5)
    torch.testing.assert_close(gaussian_blur(flat, 40.0), flat)
    point = torch.zeros(1, 1, 31, 31)
    point[..., 15, 15] = 1
    blurred = gaussian_blur(point, 2.0)
    assert float(blurred.sum()) == pytest.approx(1, abs=1e-5)
    assert float(blurred[..., 15, 15] / blurred[..., 15, 17]) == pytest.approx(
        float(torch.exp(torch.tensor(0.5))), rel=1e-4
    )


@pytest.mark.parametrize("size", [(64, 96), (45, 70), (8, 8)])
def test_coarse_fields_are_interpolated_as_torch_does_it(size):
    height, width = size
    field = torch.randn(2, 3, -(-height // SPACING), -(-width // SPACING))
    wanted = F.interpolate(field, scale_factor=SPACING, mode="bilinear", align_corners=False)[..., :height, :width]
    torch.testing.assert_close(at_pixels(field, height, width), wanted, atol=1e-6, rtol=1e-6)


def test_what_was_followed_is_not_followed_again():
    """The next window's frame 1 was frame 2: of its seven positions one is new."""
    torch.manual_seed(0)
    numbers = range(-2, 7)
    flows = {(a, a + way): 5 * torch.randn(1, 2, 32, 48) for a in numbers for way in (1, -1)}
    later = {(a - 1, b - 1): flow for (a, b), flow in flows.items()}
    _, of_frame_2 = follow_both(flows, 8)
    known = seen_forwards(of_frame_2)
    again, reused = follow_both(later, 8), follow_both(later, 8, known)
    for one, other in zip(again, reused, strict=True):
        assert sorted(one) == sorted(other) == [-3, -2, -1, 1, 2, 3, 4]
        assert all(torch.equal(a, b) for s in one for a, b in zip(one[s], other[s], strict=True))
    assert [s for s in reused[0] if s in known and reused[0][s] is known[s]] == [1, 2, 3, -1, -2, -3]
