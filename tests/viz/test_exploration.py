"""A quadruplet through a model with switches, where quadruplets come from, and one pixel's motion."""

import dataclasses
from pathlib import Path

import pytest
import torch
from small_model import CONFIG

from eqvi.datasets.rendering import demo_scene, render, write_clip
from eqvi.errors import InputError
from eqvi.model import motion as motions
from eqvi.model.config import PRESETS
from eqvi.model.eqvi import EQVI
from eqvi.model.motion import displacement
from eqvi.viz.exploration import Exploration, Switches, toggled
from eqvi.viz.pixel_motion import OBSERVED, pixel_motion
from eqvi.viz.quadruplet import Quadruplet, from_clip, from_scene


class TestExploration:
    def test_default_switches_give_the_model_s_frame(self, exploration: Exploration, quadruplet: Quadruplet) -> None:
        with torch.inference_mode():
            expected = exploration.model(quadruplet.frames, 0.25).frame
        assert torch.equal(exploration.result(0.25, exploration.default).frame, expected)

    @pytest.mark.parametrize("name", ["rqfp", "rcsn", "fusion", "ensemble"])
    def test_every_switch_changes_the_frame(self, exploration: Exploration, name: str) -> None:
        other = toggled(exploration.default, name)
        assert other != exploration.default
        assert not torch.equal(exploration.result(0.5, other).frame, exploration.result(0.5, exploration.default).frame)

    def test_switched_off_is_the_model_without_the_part(self, exploration: Exploration, quadruplet: Quadruplet) -> None:
        plain = EQVI(dataclasses.replace(CONFIG, residual=False, multi_scale=False, motion="quadratic")).eval()
        plain.load_state_dict({k: v for k, v in exploration.model.state_dict().items() if k in plain.state_dict()})
        with torch.inference_mode():
            expected = plain(quadruplet.frames, 0.5).frame
        assert torch.equal(exploration.result(0.5, Switches()).frame, expected)

    def test_a_part_that_the_model_lacks_is_not_available_and_refused(self, quadruplet: Quadruplet) -> None:
        baseline = Exploration(EQVI(PRESETS["baseline"]), quadruplet)
        assert baseline.available == ("rqfp", "ensemble")
        with pytest.raises(InputError, match="RCSN is switched on, and this model has none"):
            baseline.result(0.5, Switches(rcsn=True))

    def test_a_part_that_a_model_was_not_trained_with_says_so(
        self, exploration: Exploration, quadruplet: Quadruplet
    ) -> None:
        assert [exploration.label(name) for name in ("rqfp", "ensemble")] == ["RQFP", "ensemble"]
        plain = dataclasses.replace(PRESETS["eqvi-quarter-dis"], motion="quadratic")
        quadratic = Exploration(EQVI(plain).eval(), quadruplet)
        assert quadratic.label("rqfp") == "RQFP (this model was trained without it)"
        assert quadratic.label("ensemble") == "ensemble"
        assert Exploration(EQVI(PRESETS["baseline"]), quadruplet).label("rqfp") == "RQFP"  # nothing is trained

    def test_results_are_cached(self, exploration: Exploration) -> None:
        assert not exploration.cached(0.3, Switches())
        assert exploration.result(0.3, Switches()) is exploration.result(0.3, Switches())
        assert exploration.cached(0.3, Switches())

    def test_holes_are_where_nothing_landed(self, exploration: Exploration) -> None:
        for holes in exploration.holes(0.5, exploration.default):
            assert 0 < holes.float().mean() < 0.2

    def test_small_frames_are_padded_or_refused(self, exploration: Exploration) -> None:
        small = from_scene(demo_scene("cubic", (48, 80)), "padded for its flows")
        baseline = Exploration(EQVI(PRESETS["baseline"]), small)
        assert [tuple(hole.shape) for hole in baseline.holes(0.5, baseline.default)] == [(1, 1, 48, 80)] * 2
        with pytest.raises(InputError, match=r"frames are 80x48: .* takes 128x128 or more"):
            Exploration(exploration.model, small)

    def test_psnr_needs_a_truth(self, exploration: Exploration, quadruplet: Quadruplet) -> None:
        blind = Exploration(exploration.model, Quadruplet("blind", quadruplet.frames, lambda t: None, dict))
        assert blind.psnr(0.5, Switches()) is None
        found = exploration.psnr(0.5, Switches())
        assert found is not None
        assert 5 < found < 60


class TestPixelMotion:
    def test_curves_pass_through_the_observations(self, exploration: Exploration) -> None:
        found = pixel_motion(exploration.motion(), 70, 60, 0.5, torch.tensor(OBSERVED))
        assert torch.allclose(found.curves["quadratic"][:2], found.observed[:2], atol=1e-5)
        assert torch.allclose(found.curves["linear"][1], found.observed[1])

    def test_rectified_is_what_the_model_warps_by(self, exploration: Exploration) -> None:
        motion = exploration.motion()
        assert motion.flow_10 is not None
        whole = displacement("rectified", motion.flow_10, motion.flow_12, motion.flow_13, 0.5)
        found = pixel_motion(motion, 70, 60, 0.5, torch.tensor([0.5]))
        assert torch.allclose(found.curves["rectified"][0], whole[0, :, 60, 70], atol=1e-5)
        assert found.landing == pytest.approx((70 + float(whole[0, 0, 60, 70]), 60 + float(whole[0, 1, 60, 70])))

    def test_alpha_is_the_weight_where_signs_agree(self, exploration: Exploration) -> None:
        motion = exploration.motion()
        found = [pixel_motion(motion, x, 64, 0.5, torch.tensor([0.5])) for x in range(0, 160, 5)]
        assert {agree for one in found for agree in one.consistent} == {True, False}
        for one in found:
            weight = motions.rectification_weight(one.accelerations[0], one.accelerations[1])
            for axis in (0, 1):
                assert one.alpha[axis] == pytest.approx(float(weight[axis]) if one.consistent[axis] else 0)

    def test_a_pixel_outside_the_frame_is_refused(self, exploration: Exploration) -> None:
        with pytest.raises(InputError, match=r"pixel \(160, 0\) is not within the frame of 160x128"):
            pixel_motion(exploration.motion(), 160, 0, 0.5, torch.tensor([0.5]))


class TestQuadruplet:
    def test_of_a_scene_the_truth_is_known_at_every_t(self, quadruplet: Quadruplet) -> None:
        truth = quadruplet.truth(0.37)
        assert truth is not None
        assert torch.equal(truth, render(demo_scene("cubic", (128, 160)), 0.37))

    @pytest.fixture
    def clip(self, tmp_path: Path) -> Path:
        write_clip(tmp_path / "clip", render(demo_scene("linear", (48, 64)), torch.linspace(0, 1, 9)))
        return tmp_path / "clip"

    def test_of_a_clip_the_frames_between_are_the_truth(self, clip: Path) -> None:
        found = from_clip(clip, step=2)
        assert found.name == "clip, frame 3, every second"
        assert found.frames.shape == (1, 4, 3, 48, 64)
        truth, every = found.truth(0.5), from_clip(clip, start=4, step=1)
        assert truth is not None
        assert torch.equal(truth, every.frames[:, 1])
        assert found.truth(0.25) is None
        assert every.truth(0.5) is None

    def test_large_frames_are_made_smaller(self, clip: Path) -> None:
        assert from_clip(clip, longest=32).frames.shape[-2:] == (24, 32)
        assert from_clip(clip, longest=0).frames.shape[-2:] == (48, 64)

    def test_clips_too_short_are_refused(self, clip: Path) -> None:
        with pytest.raises(InputError, match=r"holds 9 frames, a window of every 4 takes 13"):
            from_clip(clip, step=4)
        with pytest.raises(InputError, match=r"cannot start at frame 0: give 2 to 4"):
            from_clip(clip, start=0, step=2)
