"""The sliding window, and the images interpolated from it."""

import weakref
from collections.abc import Iterator
from fractions import Fraction

import cv2
import numpy as np
import pytest
import torch
from footage import Blend, Blended, scene

from eqvi.errors import InputError
from eqvi.media.image import ClipFrame, Image
from eqvi.media.window import Interpolator, Window, windows


def frames(count: int, times: list[int] | None = None) -> list[ClipFrame]:
    """Frames with names of their own, of a panning scene."""
    times = times or list(range(count))
    images = [Image(array) for array in scene(count)]
    return [
        ClipFrame(image, str(i), Fraction(t, 30), Fraction(1, 30), None)
        for i, (image, t) in enumerate(zip(images, times, strict=True))
    ]


def stems(window: Window, neighbours: int = 1) -> str:
    """The frames of a window in order, a dash for each one that is missing."""
    earlier = [*window.earlier, *[None] * (neighbours - len(window.earlier))][::-1]
    later = [*window.later, *[None] * (neighbours - len(window.later))]
    return "".join("-" if one is None else one.stem for one in (*earlier, window.first, window.second, *later))


def test_windows_of_a_clip() -> None:
    assert [stems(w) for w in windows(frames(5))] == ["-012", "0123", "1234", "234-", "-4--"]
    assert [stems(w) for w in windows(frames(2))] == ["-01-", "-1--"]
    assert [stems(w) for w in windows(frames(1))] == ["-0--"]
    assert list(windows([])) == []
    assert [w.position for w in windows(frames(3))] == [0, 1, 2]


def test_windows_do_not_reach_across_a_cut() -> None:
    def cut(a: ClipFrame, b: ClipFrame) -> bool:
        return a.stem in "3"

    result = list(windows(frames(8), cut))
    assert [stems(w) for w in result] == ["-012", "0123", "123-", "-34-", "-456", "4567", "567-", "-7--"]
    assert [w.cut for w in result] == [False, False, False, True, False, False, False, False]


def test_a_window_may_have_more_neighbours_up_to_a_cut_or_an_uneven_gap() -> None:
    assert [stems(w, 3) for w in windows(frames(5), neighbours=3)][:4] == [
        "---01234",
        "--01234-",
        "-01234--",
        "01234---",
    ]
    cut = list(windows(frames(7), lambda a, b: a.stem == "4", neighbours=2))
    assert [stems(w, 2) for w in cut][:4] == ["--0123", "-01234", "01234-", "1234--"]
    dropped = list(windows(frames(7, [0, 1, 2, 3, 4, 6, 7]), neighbours=2))
    assert [stems(w, 2) for w in dropped][:4] == ["--0123", "-01234", "01234-", "1234--"]
    assert [w.uneven for w in dropped] == [False, False, False, True, True, True, False]


def test_every_pair_is_checked_for_a_cut_once_in_order() -> None:
    pairs = []

    def cut(a: ClipFrame, b: ClipFrame) -> bool:
        pairs.append(a.stem + b.stem)
        return False

    list(windows(frames(6), cut))
    assert pairs == ["01", "12", "23", "34", "45"]


def test_uneven_gaps_lose_their_neighbours() -> None:
    # A dropped frame after 2: the gap 2-3 is twice as long as the others.
    result = list(windows(frames(7, [0, 1, 2, 4, 5, 6, 7])))
    assert [stems(w) for w in result] == ["-012", "012-", "-23-", "-345", "3456", "456-", "-6--"]
    assert [w.uneven for w in result] == [False, True, True, True, False, False, False]


def test_four_frames_are_in_memory_at_most() -> None:
    alive: list[weakref.ref] = []
    most = 0

    def stream() -> Iterator[ClipFrame]:
        nonlocal most
        for i in range(30):
            pixels = np.zeros((8, 8, 3), np.uint8)
            alive.append(weakref.ref(pixels))
            yield ClipFrame(Image(pixels), str(i), Fraction(i), Fraction(1), None)
            del pixels

    for _ in windows(stream()):
        most = max(most, sum(ref() is not None for ref in alive))
    assert most == 4


def test_motion_is_estimated_once_a_window_and_passed_on() -> None:
    model = Blend()
    interpolator = Interpolator(model)
    for window in windows(frames(6), lambda a, b: a.stem == "2"):
        if window.second is not None and not window.cut:
            for t in (Fraction(1, 4), Fraction(1, 2)):
                interpolator.prepared_image(window, t)()
    # 0-1 at the clip's start, 1-2 before the cut, (2-3 is the cut), 3-4 after it, 4-5 at the end
    assert model.windows == [(2, False), (2, True), (2, False), (2, True)]
    assert model.times == [0.25, 0.5] * 4


def test_motion_is_not_passed_on_over_a_gap() -> None:
    model = Blend()
    interpolator = Interpolator(model)
    for window in windows(frames(9)):
        if window.position in (1, 2, 5, 6):
            interpolator.prepared_image(window, Fraction(1, 2))()
    assert model.windows == [(4, False), (4, True), (4, False), (4, True)]


def test_new_images_keep_colour_and_depth() -> None:
    for dtype, channels in ((np.uint8, 1), (np.uint16, 3), (np.uint16, 1)):
        pixels = [np.full((6, 8, channels), value, dtype) for value in (10, 20)]
        clip = [ClipFrame(Image(p), str(i), Fraction(i), Fraction(1), None) for i, p in enumerate(pixels)]
        image = Interpolator(Blend()).prepared_image(next(windows(clip)), Fraction(3, 10))()
        assert image.pixels.dtype == dtype
        assert image.pixels.shape == (6, 8, channels)
        assert (image.pixels == 13).all()


class Shift(Blend):
    """A stand-in for a scene that moves two pixels to the right from frame 1 to frame 2."""

    def interpolate(self, frames: torch.Tensor, motion: object, t: float) -> Blended:
        still = super().interpolate(frames, motion, t)
        right = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)
        flow = torch.zeros_like(still.flow_t1)
        return still._replace(flow_t1=flow - 2 * t * right, flow_t2=flow + 2 * (1 - t) * right)


def test_alpha_moves_with_the_image() -> None:
    def sprite(x: int) -> Image:
        pixels = np.full((12, 20, 4), 255, np.uint8)
        pixels[..., 3] = 0
        pixels[3:9, x : x + 6, 3] = 255
        return Image(pixels)

    clip = [ClipFrame(sprite(6 + 2 * i), str(i), Fraction(i), Fraction(1), None) for i in range(2)]
    alpha = Interpolator(Shift()).prepared_image(next(windows(clip)), Fraction(1, 2))().pixels[..., 3]
    np.testing.assert_array_equal(alpha, sprite(7).pixels[..., 3])
    opaque = [frame._replace(image=Image(np.full((12, 20, 2), 255, np.uint8))) for frame in clip]
    assert (Interpolator(Shift()).prepared_image(next(windows(opaque)), Fraction(1, 4))().pixels[..., 1] == 255).all()


@pytest.mark.parametrize(
    "failure",
    [
        torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."),
        cv2.error("(-4:Insufficient memory) Failed to allocate 8 bytes in function 'OutOfMemoryError'"),
        MemoryError(),
    ],
)
def test_too_little_memory_is_one_line(failure: Exception) -> None:
    class Greedy(Blend):
        def interpolate(self, frames: torch.Tensor, motion: object, t: float) -> Blended:
            raise failure

    with pytest.raises(InputError, match="64x48 overfill the memory of cpu: use --crop, or --size 32x24") as error:
        Interpolator(Greedy()).prepared_image(next(windows(frames(2))), Fraction(1, 2))()
    assert "\n" not in str(error.value)


def test_other_failures_of_a_model_stay_what_they_are() -> None:
    class Broken(Blend):
        def interpolate(self, frames: torch.Tensor, motion: object, t: float) -> Blended:
            raise RuntimeError("sizes differ")

    with pytest.raises(RuntimeError, match="sizes differ"):
        Interpolator(Broken()).prepared_image(next(windows(frames(2))), Fraction(1, 2))()
