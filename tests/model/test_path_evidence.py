"""What paths say of how well a place at t is known."""

import math

import torch

from eqvi.model.path_evidence import PATH_EVIDENCE, path_evidence
from eqvi.model.trajectories import Position, frame_times
from tests.model.test_trajectories import positions_on

T = 0.3


def of(path, trust: float = 1.0, count: int = 8) -> dict[str, float]:
    """The evidence of pixels on a path, seen from both frames."""
    seen = [positions_on(way, frame_times(count)) for way in (path, lambda s: path(1 - s))]
    seen = [{s: Position(p.displacement, trust * p.trust) for s, p in positions.items()} for positions in seen]
    values = path_evidence((seen[0], seen[1]), T)
    assert values.shape == (1, len(PATH_EVIDENCE), 12, 16)
    return dict(zip(PATH_EVIDENCE, values[0, :, 0, 0].tolist(), strict=True))


def test_a_straight_path_has_the_least_of_all_and_a_parabola_bends_alone():
    straight = of(lambda s: torch.tensor([3.0 * s, -s]))
    least = math.log(0.05)
    assert all(abs(straight[name] - least) < 0.01 for name in ("bends", "jerks", "four or all"))
    parabola = of(lambda s: torch.tensor([2.0 * s * s, 0.0]))
    assert abs(parabola["bends"] - math.log(4)) < 0.01
    assert abs(parabola["jerks"] - least) < 0.01
    assert abs(parabola["four or all"] - least) < 0.01


def test_a_path_that_shakes_jerks_and_is_read_otherwise_by_more_frames():
    shaken = of(lambda s: torch.tensor([0.0, 2 * math.sin(2.2 * float(s))]))
    slow = of(lambda s: torch.tensor([0.0, 2 * math.sin(0.3 * float(s))]))
    assert all(shaken[name] > slow[name] + 1 for name in ("bends", "jerks", "four or all"))


def test_trust_is_that_of_the_whole_path():
    assert abs(of(lambda s: torch.tensor([float(s), 0.0]), trust=0.9)["path"] - 0.9**7) < 1e-4


def test_seen_from_the_other_frame_with_time_reversed_it_is_the_same():
    forwards = positions_on(lambda s: torch.tensor([s**3 / 4, float(s)]), frame_times(8))
    backwards = positions_on(lambda s: torch.tensor([math.sin(s), 0.0]), frame_times(8))
    one, other = path_evidence((forwards, backwards), T), path_evidence((backwards, forwards), 1 - T)
    torch.testing.assert_close(one, other)


def test_a_path_of_four_frames_is_not_taken_to_be_confirmed_by_others():
    values = of(lambda s: torch.tensor([2 * math.sin(2.2 * float(s)), 0.0]), count=4)
    assert abs(values["four or all"] - PATH_EVIDENCE["four or all"][0]) < 1e-6
