"""Gathering pictures from Debian packages."""

import hashlib
import io
import lzma
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from eqvi.datasets import picture_packages
from eqvi.datasets.photographs import SPLITS
from eqvi.datasets.picture_packages import Package, Picture, gather, known_pictures
from eqvi.datasets.pictures import load_pictures
from eqvi.errors import InputError


def encoded(suffix: str, image: np.ndarray) -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


def deb(members: dict[str, bytes]) -> bytes:
    """A Debian package as dpkg-deb would build it, as far as it matters here."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    parts = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", "data.tar.xz": lzma.compress(tar.getvalue())}
    body = b"!<arch>\n"
    for name, content in parts.items():
        body += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode() + content
        body += b"\n" * (len(content) % 2)
    return body


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that holds the only package that is known, with a large photograph and a cut-out."""
    rng = np.random.default_rng(0)
    alpha = np.dstack([rng.integers(0, 255, (90, 60, 3)), np.repeat([[0], [255]], 45, 0).repeat(60, 1)])
    contents = {
        "usr/share/wide.jpg": encoded(".jpg", rng.integers(0, 255, (400, 3200, 3)).astype(np.uint8)),
        "usr/share/leaf.png": encoded(".png", alpha.astype(np.uint8)),
        "usr/share/other.png": b"not wanted",
    }
    file = tmp_path / "packages" / "photos_1.0-1_all.deb"
    file.parent.mkdir()
    file.write_bytes(deb(contents))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    names = {"usr/share/wide.jpg": "backgrounds/wide.jpg", "usr/share/leaf.png": "cutouts/leaf.png"}
    pictures = [
        Picture(name, "photos", member, "CC0-1.0", hashlib.sha256(contents[member]).hexdigest())
        for member, name in names.items()
    ]
    known = {"photos": Package("1.0-1", f"pool/{file.name}", digest, file.stat().st_size)}, pictures
    monkeypatch.setattr(picture_packages, "known_pictures", lambda: known)
    return file


def test_pictures_are_taken_from_a_package_and_reduced(package: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    assert gather(folder, str(package.parent)) == 2 + len(SPLITS["train"])
    assert cv2.imread(str(folder / "backgrounds" / "wide.jpg")).shape == (200, 1600, 3)
    leaf = cv2.imread(str(folder / "cutouts" / "leaf.png"), cv2.IMREAD_UNCHANGED)
    assert leaf.shape == (90, 60, 4)
    assert leaf[0, 0, 3] == 0
    assert leaf[89, 0, 3] == 255
    assert gather(folder, str(package.parent)) == 0
    assert package.is_file()
    # All of them can be rendered from; the names of the two splits decide what is for training.
    assert load_pictures(folder).photographs


def test_another_package_is_refused(package: Path, tmp_path: Path) -> None:
    package.write_bytes(package.read_bytes() + b"\n")
    with pytest.raises(InputError, match=r"is not version 1.0-1 of photos"):
        gather(tmp_path / "pictures", str(package.parent))
    assert not list((tmp_path / "pictures").rglob("*.jpg"))
    package.unlink()
    with pytest.raises(InputError, match=r"holds no photos_1.0-1_all.deb: `apt-get download photos` fetches it"):
        gather(tmp_path / "pictures", str(package.parent))


def test_the_record_names_every_licence_and_no_scene_of_evaluation() -> None:
    packages, pictures = known_pictures()
    assert {picture.package for picture in pictures} == set(packages)
    assert len({picture.name for picture in pictures}) == len(pictures) > 200
    assert all(picture.licence for picture in pictures)
    assert all(len(picture.sha256) == 64 for picture in pictures)
    assert not [picture.member for picture in pictures if "rubberwhale" in picture.member.lower()]
