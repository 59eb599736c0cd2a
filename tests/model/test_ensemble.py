"""Every member inverts its transform, and passes 1 - t where it reverses time."""

from typing import NamedTuple

import pytest
import torch

import eqvi
from eqvi.errors import InputError
from eqvi.model.ensemble import ENSEMBLES, MEMBERS, Ensemble, members_of


class Out(NamedTuple):
    frame: torch.Tensor


class Spy:
    """Blends by time, exactly as symmetric as that is, and remembers how it was asked."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.handed_on: list[bool] = []
        self.sizes: list[tuple[int, int]] = []

    def estimate_motion(self, frames, previous=None):
        self.handed_on.append(previous is not None)
        return "motion"

    def interpolate(self, frames, motion, t):
        assert motion == "motion"
        self.times.append(t)
        self.sizes.append(tuple(frames.shape[-2:]))
        middle = frames.shape[1] // 2
        return Out((1 - t) * frames[:, middle - 1] + t * frames[:, middle])


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("name", [name for name in MEMBERS if name != "half"])
def test_a_symmetric_model_gives_every_member_the_same_frame(name, count):
    frames = torch.rand(2, count, 3, 20, 32)
    spy, plain = Spy(), Spy()
    ensemble = Ensemble(spy, [name])
    out = ensemble.interpolate(frames, ensemble.estimate_motion(frames), 0.3).frame
    torch.testing.assert_close(out, plain.interpolate(frames, "motion", 0.3).frame)
    assert spy.times == [pytest.approx(0.7 if name.startswith("reverse") else 0.3)]
    turned = "rotate" in name
    assert spy.sizes == [(32, 20) if turned else (20, 32)]


def test_half_resolution_works_on_half_and_comes_back():
    spy, smooth = Spy(), torch.linspace(0, 1, 33).expand(1, 4, 3, 21, 33).contiguous()
    ensemble = Ensemble(spy, ["half"])
    out = ensemble.interpolate(smooth, ensemble.estimate_motion(smooth), 0.5).frame
    assert spy.sizes == [(10, 16)]
    assert out.shape == (1, 3, 21, 33)
    assert (out - smooth[:, 0]).abs().max() < 0.05


def test_the_published_list_is_one_list():
    assert set(ENSEMBLES["all"]) == set(MEMBERS)
    assert {"half", "flip-x", "rotate-90", "rotate-270", "reverse", "reverse-flip-x", "reverse-rotate-90"} <= set(
        MEMBERS
    )
    assert members_of("identity+half") == ENSEMBLES["half"]


def test_the_result_is_the_mean_and_motion_is_handed_on_forward_only():
    class Constant(Spy):
        def interpolate(self, frames, motion, t):
            return Out(torch.full_like(frames[:, 0], t))

    frames = torch.rand(1, 4, 3, 8, 8)
    model = Constant()
    ensemble = Ensemble(model, ["identity", "flip-x", "reverse"])
    motion = ensemble.estimate_motion(frames)
    ensemble.estimate_motion(frames, previous=motion)
    assert model.handed_on == [False, False, False, True, True, False]
    torch.testing.assert_close(ensemble.interpolate(frames, motion, 0.25).frame, torch.full((1, 3, 8, 8), 1.25 / 3))


def test_reversal_changes_a_real_model_little_and_flows_stay_the_first_members():
    model = eqvi.EQVI(eqvi.PRESETS["baseline"]).eval()
    base = torch.rand(1, 3, 70, 90)
    frames = torch.stack([base[..., k : k + 64, 2 * k : 2 * k + 64] for k in range(4)], dim=1)
    plain = model(frames, 0.25)
    ensemble = Ensemble(model, members_of("reversal"))
    out = ensemble.interpolate(frames, ensemble.estimate_motion(frames), 0.25)
    torch.testing.assert_close(out.flow_t1, plain.flow_t1)
    assert (out.frame - plain.frame).abs().mean() < 0.02


@pytest.mark.parametrize(
    ("name", "message"),
    [("flipz", "there is no ensemble or member 'flipz'"), ("half+half", "names half twice")],
)
def test_unknown_ensembles_are_refused(name, message):
    with pytest.raises(InputError, match=message):
        members_of(name)
