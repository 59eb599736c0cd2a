"""Windows of real footage: the published sampling, the same for the same seed, and refusals that say what to do."""

import json
import pickle
import random
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

from eqvi.errors import InputError
from eqvi.media.image import to_tensor
from eqvi.media.image_files import read_image
from eqvi.training.footage import FootageWindows
from eqvi.training.samples import FrameSample

WIDTH, HEIGHT = 40, 30


def frame(number: int, clip: int = 0, size: tuple[int, int] = (WIDTH, HEIGHT)) -> np.ndarray:
    """A frame that says what it is: red its number, green x, blue y and the clip."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[..., 0] = number
    pixels[..., 1] = np.arange(size[0])
    pixels[..., 2] = np.arange(size[1])[:, None] + 100 * clip
    return pixels


def write_clip(folder: Path, count: int, clip: int = 0, name: str = "{:04d}.png", **kinds: object) -> Path:
    folder.mkdir(parents=True)
    for number in range(count):
        Image.fromarray(frame(number, clip, **kinds)).save(folder / name.format(number))
    return folder


@pytest.fixture(scope="module")
def reds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips as long as those of REDS_VTSR, named and laid out alike."""
    root = tmp_path_factory.mktemp("reds")
    for clip in range(2):
        folder = root / "train" / "train_60fps" / f"{clip:03d}"
        folder.mkdir(parents=True)
        for number in range(181):
            Image.fromarray(frame(number, clip)).save(folder / f"{2 * number:08d}.png")
    return root


class Seen(NamedTuple):
    """What a window of `frame`s shows: frame numbers, and the corner and direction of its crop."""

    clip: int
    numbers: list[int]
    truth: int
    corner: tuple[int, int]
    mirrored: bool


def seen(window: FrameSample) -> Seen:
    frames = (torch.cat((window.frames, window.truth[None])) * 255).round().int()
    numbers, x, y = frames[:, 0, 0, 0].tolist(), frames[0, 1, 0], frames[0, 2, :, 0]
    assert torch.equal(frames[:, 1:], frames[:1, 1:].expand(5, -1, -1, -1)), "one clip, one crop, one direction"
    assert torch.equal(frames[:, 0], frames[:, 0, :1, :1].expand_as(frames[:, 0]))
    clip, top = divmod(int(y[0]), 100)
    assert torch.equal(y, torch.arange(len(y)).int() + 100 * clip + top)
    mirrored = bool(x[0] > x[-1])
    assert torch.equal(x.sort().values, torch.arange(len(x)).int() + x.min())
    return Seen(clip, numbers[:4], numbers[4], (int(x.min()), top), mirrored)


def assert_same(one: FrameSample, other: FrameSample) -> None:
    assert torch.equal(one.frames, other.frames)
    assert torch.equal(one.truth, other.truth)
    assert one.t == other.t


def assert_other(one: FootageWindows, other: FootageWindows) -> None:
    pairs = [(one.sample(number), other.sample(number)) for number in range(4)]
    assert any(not torch.equal(a.frames, b.frames) for a, b in pairs)


class TestPublishedSampling:
    def test_an_epoch_visits_every_window_once(self, reds):
        source = FootageWindows(reds, crop=16)
        assert source.epoch == 2 * 43  # 240 clips make the 10 320 of the paper
        expected = {(clip, start) for clip in range(2) for start in range(0, 169, 4)}
        for epoch in range(2):
            windows = [seen(source.sample(epoch * source.epoch + place)) for place in range(source.epoch)]
            assert {(one.clip, min(one.numbers)) for one in windows} == expected

    def test_a_window_is_every_fourth_frame_and_one_between_the_middle_two(self, reds):
        source = FootageWindows(reds, crop=16)
        times, corners, mirrored = Counter(), set(), 0
        for number in range(400):
            window = source.sample(number)
            assert window.frames.shape == (4, 3, 16, 16)
            assert window.frames.dtype == torch.float32
            found = seen(window)
            start, backwards = min(found.numbers), found.numbers[0] > found.numbers[-1]
            numbers = [start, start + 4, start + 8, start + 12]
            assert found.numbers == (numbers[::-1] if backwards else numbers)
            between = found.truth - start - 4
            assert window.t == (1 - between / 4 if backwards else between / 4)
            assert found.mirrored == backwards, "mirrored and reversed together, or neither"
            assert 0 <= found.corner[0] <= WIDTH - 16
            assert 0 <= found.corner[1] <= HEIGHT - 16
            times[window.t] += 1
            corners.add(found.corner)
            mirrored += found.mirrored
        assert set(times) == {0.25, 0.5, 0.75}
        assert max(abs(count - 400 / 3) for count in times.values()) < 30  # three standard deviations are 28
        assert 170 < mirrored < 230
        assert {x for x, _ in corners} == set(range(25))
        assert {y for _, y in corners} == set(range(15))

    def test_epochs_differ_in_order_and_in_what_is_drawn(self, reds):
        source = FootageWindows(reds, crop=16)
        first, second = ([seen(source.sample(epoch * 86 + place)) for place in range(86)] for epoch in range(2))
        starts = [[(one.clip, min(one.numbers)) for one in epoch] for epoch in (first, second)]
        assert starts[0] != starts[1]
        assert starts[0] != sorted(starts[0])
        assert {one.corner for one in first} != {one.corner for one in second}


class TestDeterminism:
    def test_a_window_depends_on_its_number_alone(self, reds):
        source = FootageWindows(reds, crop=16, seed=3, augment="full")
        numbers = [0, 85, 86, 1000]
        before = [source.sample(number) for number in numbers]
        for number in random.Random(0).sample(range(2000), 20):
            source.sample(number)
        again = FootageWindows(reds, crop=16, seed=3, augment="full")
        for number, window in zip(reversed(numbers), reversed(before), strict=True):
            assert_same(source.sample(number), window)
            assert_same(again.sample(number), window)

    def test_a_pickled_source_has_the_same_windows(self, reds):
        source = FootageWindows(reds, crop=16)
        window = source.sample(90)
        there = pickle.loads(pickle.dumps(source))
        assert there.epoch == source.epoch
        assert_same(there.sample(90), window)

    def test_another_seed_gives_other_windows(self, reds):
        one, other = (FootageWindows(reds, crop=16, seed=seed) for seed in (0, 1))
        assert_other(one, other)

    def test_the_record_is_plain_and_depends_on_the_files(self, tmp_path):
        write_clip(tmp_path / "a", 13)
        source = FootageWindows(tmp_path, crop=16, seed=5)
        record = source.record()
        assert json.loads(json.dumps(record)) == record
        assert (record["clips"], record["frames"], record["windows"], record["seed"]) == (["a"], 13, 1, 5)
        assert source.record() == record
        (tmp_path / "a" / "0005.png").write_bytes(b"another")
        assert source.record()["frames_sha256"] != record["frames_sha256"]


class TestOptions:
    def test_a_window_may_start_at_every_frame(self, reds):
        assert FootageWindows(reds, crop=16, start_every=1).epoch == 2 * 169

    def test_spacing_sets_the_length_and_the_times(self, tmp_path):
        write_clip(tmp_path / "a", 25)
        source = FootageWindows(tmp_path, crop=16, spacing=8, augment="none")
        assert source.epoch == 1
        windows = [source.sample(number) for number in range(100)]
        assert {window.t for window in windows} == {k / 8 for k in range(1, 8)}
        for window in windows:
            found = seen(window)
            assert found.numbers == [0, 8, 16, 24]
            assert found.truth == 8 + 8 * window.t

    def test_full_augmentation_keeps_the_pixels(self, reds):
        plain, full = (FootageWindows(reds, crop=16, augment=how) for how in ("none", "full"))
        assert_other(plain, full)
        # A pixel's three values stay together whatever is done; so does the set of them, up to their order.
        for number in range(8):
            sets = [{tuple(sorted(p)) for p in s.sample(number).frames.permute(0, 2, 3, 1).reshape(-1, 3).tolist()}
                    for s in (plain, full)]  # fmt: skip
            assert sets[0] == sets[1]

    def test_clips_can_be_chosen(self, reds):
        source = FootageWindows(reds, crop=16, clips=["001"])
        assert source.epoch == 43
        assert {seen(source.sample(number)).clip for number in range(43)} == {1}

    def test_clips_may_differ_in_size(self, tmp_path):
        write_clip(tmp_path / "wide", 17, clip=0, size=(60, 20))
        write_clip(tmp_path / "high", 13, clip=1, size=(18, 50))
        source = FootageWindows(tmp_path, crop=18)
        assert Counter(seen(source.sample(number)).clip for number in range(3)) == {0: 2, 1: 1}

    def test_a_folder_of_pictures_is_one_clip(self, tmp_path, monkeypatch):
        write_clip(tmp_path / "one", 13)
        monkeypatch.chdir(tmp_path / "one")
        source = FootageWindows(Path("."), crop=30)
        assert (source.epoch, source.record()["clips"]) == (1, ["one"])
        assert source.sample(0).truth.shape == (3, 30, 30)

    @pytest.mark.parametrize(
        ("mode", "name"),
        [
            *((mode, "{:04d}.png") for mode in ("RGB", "RGBA", "L", "P", "I;16")),
            ("RGB", "f{:d}.jpg"),
            ("RGB", "{:04d}_x.webp"),
        ],
    )
    def test_images_of_every_format_are_read(self, tmp_path, mode, name):
        folder = tmp_path / "clip"
        folder.mkdir()
        make = np.random.default_rng(0)
        for number in range(13):
            pixels = make.integers(0, 256, (24, 24, 3), np.uint8)
            image = Image.fromarray(pixels).convert("L" if mode == "I;16" else mode)
            if mode == "I;16":
                image = Image.fromarray(np.asarray(image).astype(np.uint16) * 200)
            image.save(folder / name.format(number))
        window = FootageWindows(tmp_path, crop=24, augment="none").sample(0)
        pictures = [to_tensor(read_image(folder / name.format(4 * index)))[0] for index in range(4)]
        assert torch.equal(window.frames, torch.stack(pictures))
        assert torch.equal(window.truth, to_tensor(read_image(folder / name.format(4 + round(4 * window.t))))[0])


class TestCost:
    def test_the_constructor_reads_the_first_and_last_frame_alone(self, tmp_path):
        folder = write_clip(tmp_path / "a", 40)
        for path in sorted(folder.iterdir())[1:-1]:
            path.write_bytes(b"")
        assert FootageWindows(tmp_path, crop=16).epoch == 7

    def test_only_five_frames_are_read_for_a_window(self, tmp_path):
        folder = write_clip(tmp_path / "a", 13)
        source = FootageWindows(tmp_path, crop=16)
        between = seen(source.sample(0)).truth
        for number in set(range(13)) - {0, 4, 8, 12, between}:
            (folder / f"{number:04d}.png").unlink()
        source.sample(0)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def spoil(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)


class TestDamageDuringTraining:
    @pytest.mark.parametrize(
        ("harm", "said"),
        [(cut, "truncated or damaged"), (spoil, "truncated or damaged"), (Path.unlink, "there is no such file")],
    )
    def test_the_file_is_named(self, tmp_path, harm, said):
        path = write_clip(tmp_path / "a", 13) / "0008.png"
        source = FootageWindows(tmp_path, crop=16)
        source.sample(0)
        harm(path)
        with pytest.raises(InputError, match=said) as caught:
            source.sample(0)
        assert str(caught.value).startswith(f"{path}: ")

    def test_another_size_is_named(self, tmp_path):
        folder = write_clip(tmp_path / "a", 13)
        Image.fromarray(frame(4, size=(20, 20))).save(folder / "0004.png")
        source = FootageWindows(tmp_path, crop=16)
        with pytest.raises(InputError, match=r"differ in size: 0000\.png is 40x30, 0004\.png is 20x20 \(in .*/a\)"):
            source.sample(0)


class TestRefusals:
    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"crop": 31}, r"/a: frames are 40x30, smaller than the crop of 31x31: give a crop of 30 or less"),
            ({"crop": 0}, "crop 0 is too small: give 1 or more"),
            ({"spacing": 1}, "spacing 1 is too small: give 2 or more"),
            ({"start_every": 0}, "start_every 0 is too small: give 1 or more"),
            ({"clips": ["a", "q"]}, r"there is no clip q: choose among the 1 there \(a\)"),
            ({"clips": []}, "no clips are asked for"),
            ({"spacing": 5}, r"/a: holds 13 frame\(s\), but a window of spacing 5 needs 16"),
        ],
    )
    def test_numbers_and_names_out_of_range(self, tmp_path, given, said):
        write_clip(tmp_path / "a", 13)
        with pytest.raises(InputError, match=said):
            FootageWindows(tmp_path, **{"crop": 16, **given})

    @pytest.mark.usefixtures("unchecked")
    def test_an_unknown_augmentation(self, tmp_path):
        with pytest.raises(InputError, match="augment 'some' is not known: choose one of none, published, full"):
            FootageWindows(tmp_path, augment="some")

    def test_one_short_clip_among_long_ones(self, tmp_path):
        for name, count in (("a", 20), ("b", 12), ("c", 3)):
            write_clip(tmp_path / name, count)
        with pytest.raises(InputError, match=r"/b: holds 12 frame\(s\), but a window of spacing 4 needs 13: leave"):
            FootageWindows(tmp_path, crop=16)

    def test_places_without_clips(self, tmp_path):
        with pytest.raises(InputError, match="nowhere: there is no such folder"):
            FootageWindows(tmp_path / "nowhere")
        with pytest.raises(InputError, match="holds no clips: give a folder that holds clips"):
            FootageWindows(tmp_path)
        (tmp_path / "a").mkdir()
        with pytest.raises(InputError, match="a: holds no pictures"):
            FootageWindows(tmp_path)
        write_clip(tmp_path / "b", 1)
        with pytest.raises(InputError, match=r"b/0000\.png: is a single picture: give the folder"):
            FootageWindows(tmp_path / "b" / "0000.png")
        Image.fromarray(frame(0)).save(tmp_path / "thumbnail.png")
        with pytest.raises(InputError, match=r"holds both pictures and folders \(a\)"):
            FootageWindows(tmp_path)

    @pytest.mark.parametrize("place", ["film.mp4", "film.MOV", "a/film.mkv"])
    def test_videos_are_to_be_extracted(self, tmp_path, place):
        write_clip(tmp_path / "a", 13)
        video = tmp_path / place
        video.write_bytes(b"film")
        for root in (video, tmp_path):
            with pytest.raises(InputError) as caught:
                FootageWindows(root, crop=16)
            said = str(caught.value)
            assert said.startswith(f"{video}: ")
            assert f"ffmpeg -i '{video}' -fps_mode passthrough 'clips/film/%08d.png'" in said
            assert "\n" not in said

    def test_frames_missing_or_there_twice(self, tmp_path):
        folder = write_clip(tmp_path / "a", 30, name="f_{:d}.png")
        (folder / "f_9.png").rename(folder / "f_9.webp")
        Image.fromarray(frame(9)).save(folder / "f_9.png")
        with pytest.raises(InputError, match=r"/a: f_9\.png is followed by f_9\.webp: frames are missing or there tw"):
            FootageWindows(tmp_path, crop=16)
        for path in folder.glob("f_9.*"):
            path.unlink()
        with pytest.raises(InputError, match=r"/a: f_8\.png is followed by f_10\.png: frames are missing"):
            FootageWindows(tmp_path, crop=16)

    def test_first_and_last_frame_unlike(self, tmp_path):
        folder = write_clip(tmp_path / "a", 13)
        Image.fromarray(frame(12, size=(40, 32))).save(folder / "0012.png")
        with pytest.raises(InputError, match=r"differ in size: 0000\.png is 40x30, 0012\.png is 40x32"):
            FootageWindows(tmp_path, crop=16)

    def test_reds_without_its_training_clips(self, tmp_path):
        write_clip(tmp_path / "val" / "val_60fps" / "000", 13, name="0000{:04d}.png")
        assert FootageWindows(tmp_path, crop=16, split="val").epoch == 1
        with pytest.raises(InputError, match=r"train/train_60fps: is missing: fetch it with `make data"):
            FootageWindows(tmp_path, crop=16)

    def test_reds_at_another_rate(self, tmp_path):
        folder = tmp_path / "train" / "train_60fps" / "000"
        folder.mkdir(parents=True)
        for position in range(0, 361, 4):
            Image.fromarray(frame(position // 4)).save(folder / f"{position:08d}.png")
        with pytest.raises(InputError, match="/000: holds frames at 30 a second, by their names; 60 are meant here"):
            FootageWindows(tmp_path, crop=16)
