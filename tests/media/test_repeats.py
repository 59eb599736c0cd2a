"""Frames that a capture has doubled, and slow motion."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from footage import interpolate, scene, with_sound, write_folder, write_video

from eqvi.errors import InputError
from eqvi.media.repeats import differences, even_times, repeats
from eqvi.media.video_reader import decode, probe


def doubled(pattern: list[int], count: int = 24) -> list[np.ndarray]:
    """A pan whose frames are shown as often as the pattern says, over and over."""
    return [frame for i, frame in enumerate(scene(count)) for _ in range(pattern[i % len(pattern)])]


@pytest.mark.parametrize(("pattern", "rate"), [([1, 1, 1, 2], 30), ([2, 3], 60), ([2], 60)])
def test_a_cadence_is_noted_and_left_out_on_request(
    tmp_path: Path, pattern: list[int], rate: int, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = doubled(pattern)
    source = write_video(tmp_path / "in.mp4", frames, rate=Fraction(rate))
    interpolate(source, tmp_path / "all.mp4")
    assert "repeat the one before: --dedupe leaves them out" in capsys.readouterr().err
    summary = interpolate(source, tmp_path / "out.mp4", dedupe=True)
    assert f"{len(frames) - 24} of {len(frames)} frames repeat the one before" in capsys.readouterr().err
    assert (summary.inputs, summary.new, summary.uneven) == (24, 23, 0)
    out = list(decode(probe(tmp_path / "out.mp4")))
    film = Fraction(len(frames), rate) / 24
    assert all(abs(frame.time - n * film / 2) < Fraction(1, 10000) for n, frame in enumerate(out))
    assert abs(out[-1].time + out[-1].duration - Fraction(len(frames), rate)) < Fraction(1, 1000)


@pytest.mark.parametrize("still", [[0] * 12, [0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]])
def test_stills_and_plain_motion_are_no_cadence(
    tmp_path: Path, still: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    frames = scene(12)
    clip = write_folder(tmp_path / "in", [frames[index] for index in still])
    interpolate(clip, tmp_path / "out")
    assert capsys.readouterr().err == ""


def test_single_repeats_keep_the_times_of_the_others() -> None:
    values = np.array([3, 3, 0.1, 3, 3, 3, 3, 3, 0.0, 3.0])
    assert np.flatnonzero(repeats(values)).tolist() == [2, 8]
    assert repeats(np.array([])).tolist() == []
    assert differences([]).size == 0
    assert even_times([Fraction(0), Fraction(1), Fraction(5)], Fraction(1)) == [0, 1, 5]


@pytest.mark.parametrize(
    ("options", "rate", "count"),
    [({"slow": "2"}, 25, 20), ({"slow": "1.5"}, 25, 15), ({"slow": "2", "factor": 4}, 50, 40)],
)
def test_slow_motion_is_longer_at_its_rate_and_silent(
    tmp_path: Path, options: dict[str, Any], rate: int, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_video(tmp_path / "s.mp4", scene(10), rate=Fraction(25))
    interpolate(with_sound(source, tmp_path / "in.mp4", 0.4), tmp_path / "out.mp4", **options)
    assert "the sound is left out, because the video becomes longer" in capsys.readouterr().err
    out = probe(tmp_path / "out.mp4")
    frames = list(decode(out))
    assert (out.audio, out.rate, len(frames)) == ((), rate, count)
    assert [frame.time for frame in frames] == [Fraction(n, rate) for n in range(count)]


def test_slow_motion_is_for_videos_and_slower(tmp_path: Path, clip: Path) -> None:
    with pytest.raises(InputError, match="which has no duration"):
        interpolate(clip, tmp_path / "out", slow="2")
    for text in ("1", "0.5", "fast", "²", "1e9", "-2"):
        with pytest.raises(InputError, match="give how many times longer"):
            interpolate(clip, tmp_path / "out.mp4", slow=text)
    interpolate(clip, tmp_path / "out.mp4", slow="4")
    assert len(list(decode(probe(tmp_path / "out.mp4")))) == 20
