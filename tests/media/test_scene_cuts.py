"""Detection of scene cuts."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from footage import scene

from eqvi.media.clip import open_clip
from eqvi.media.image import ClipFrame, Image
from eqvi.media.scene_cuts import THRESHOLD, CutDetector, is_cut, thumbnail, unexplained
from eqvi.media.window import windows
from eqvi.paths import ROOT

CLIPS = ROOT.parent / "shared" / "clips"


def test_cuts_between_scenes_and_not_within() -> None:
    shots = [[Image(frame) for frame in scene(10, (320, 180), seed, speed=12)] for seed in range(3)]
    thumbs = [thumbnail(image) for shot in shots for image in shot]
    assert [i for i, (a, b) in enumerate(itertools.pairwise(thumbs)) if is_cut(a, b)] == [9, 19]


def test_light_is_no_cut_and_black_is() -> None:
    lit = scene(1, (320, 180))[0]
    thumb = thumbnail(Image(lit))
    flash = thumbnail(Image(np.clip(lit.astype(int) + 60, 0, 255).astype(np.uint8)))
    black = thumbnail(Image(np.zeros_like(lit)))
    assert not is_cut(thumb, flash)
    assert not is_cut(thumb, thumb)
    assert not is_cut(black, black)
    assert is_cut(thumb, black)
    assert is_cut(black, thumb)


@pytest.mark.parametrize("size", [(1920, 1080), (1080, 1920), (64, 48), (8, 8), (4000, 20)])
def test_thumbnails(size: tuple[int, int]) -> None:
    for channels, dtype in ((1, np.uint8), (2, np.uint8), (3, np.uint16), (4, np.uint8)):
        pixels = np.full((size[1], size[0], channels), np.iinfo(dtype).max // 2, dtype)
        thumb = thumbnail(Image(pixels))
        assert thumb.dtype == np.uint8
        assert thumb.ndim == 2
        assert set(np.unique(thumb)) == {127}
        assert unexplained(thumb, thumb) == 0


@pytest.mark.skipif(not CLIPS.is_dir(), reason="no real footage on this machine")
@pytest.mark.parametrize("name", ["car-turn", "karma_gopro/karma.mp4"])
def test_no_false_cuts_in_real_footage(name: str) -> None:
    thumbs = [thumbnail(frame.image) for frame in open_clip(CLIPS / name, limit=80).read()]
    worst = max(min(unexplained(a, b), unexplained(b, a)) for a, b in itertools.pairwise(thumbs))
    assert worst < THRESHOLD / 2


@pytest.mark.skipif(not CLIPS.is_dir(), reason="no real footage on this machine")
def test_a_cut_in_real_footage_is_found() -> None:
    def start(name: str) -> list[ClipFrame]:
        return list(open_clip(CLIPS / name, limit=4, size=(426, 240)).read())

    joined = [*start("car-turn"), *start("karma_gopro/karma.mp4"), *start("car-turn")]
    joined = [frame._replace(time=Fraction(i, 30)) for i, frame in enumerate(joined)]
    assert [w.position for w in windows(joined, CutDetector()) if w.cut] == [3, 7]
