"""Photographs and cut-outs to train on, taken from Debian's packages and from scikit-image's wheel.

``pictures.json`` beside this file records each: name, package with its version and hash, file in the package, licence
as the package's copyright file gives it, and hash. The pictures themselves are no part of the project. They are reduced
as they are taken: photographs to 1600 pixels, cut-outs to 640.
"""

import functools
import io
import lzma
import tarfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from eqvi import files
from eqvi.datasets.photographs import SPLITS, photograph
from eqvi.datasets.pictures import LARGEST, read_picture, shrink
from eqvi.datasets.transfer import check_space, fetch
from eqvi.errors import InputError
from eqvi.metrics import to_8bit
from eqvi.paths import BUILD

#: Where the packages are fetched from. Old versions stay at https://snapshot.debian.org/archive/debian/20250520T000000Z.
MIRROR = "https://deb.debian.org/debian"
#: Where the pictures go.
FOLDER = BUILD / "pictures"

_RECORD = Path(__file__).with_name("pictures.json")
_JPEG_QUALITY = 95


class Package(NamedTuple):
    """A Debian package: its version, its file on a mirror, the file's hash and its size in bytes."""

    version: str
    file: str
    sha256: str
    size: int


class Picture(NamedTuple):
    """A picture of a package.

    Attributes:
        name: path below the folder of pictures.
        package: name of the package.
        member: path in the package.
        licence: as the package's copyright file gives it.
        sha256: of the file in the package.
    """

    name: str
    package: str
    member: str
    licence: str
    sha256: str


@functools.cache
def known_pictures() -> tuple[dict[str, Package], list[Picture]]:
    """The packages by name, and the pictures that are taken from them."""
    record = files.parse_json(_RECORD.read_text(encoding="utf-8"))
    packages = {name: Package(**values) for name, values in record["packages"].items()}
    return packages, [Picture(**values) for values in record["pictures"]]


def gather(folder: Path, place: str | None = None) -> int:
    """Fetch the packages and put their pictures into a folder; what is there already is left alone.

    Args:
        folder: gets ``backgrounds`` and ``cutouts``.
        place: a folder that holds the packages, or a mirror (http...) instead of `MIRROR`.

    Returns:
        How many pictures are new.

    Raises:
        InputError: a package cannot be fetched or is another than the record names, or the folder cannot be written.
    """
    packages, pictures = known_pictures()
    missing = [picture for picture in pictures if not (folder / picture.name).is_file()]
    try:
        for name in ("backgrounds", "cutouts"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for name in sorted({picture.package for picture in missing}):
            wanted = {picture.member: picture for picture in missing if picture.package == name}
            file, is_own = _package_file(folder, name, packages[name], place)
            for member, content in _members(file, set(wanted)):
                _save(folder, wanted.pop(member), content)
            if wanted:
                raise InputError(f"{file}: lacks {next(iter(wanted))}: it is another package than {_RECORD.name} names")
            if is_own:
                file.unlink()
        new = len(missing) + sum(_save_bundled(folder, name) for name in SPLITS["train"])
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {files.write_failure(error)}") from None
    return new


def _package_file(folder: Path, name: str, package: Package, place: str | None) -> tuple[Path, bool]:
    """The file of a package, checked, and whether it was fetched."""
    basename = package.file.rpartition("/")[2]
    if place is not None and not place.startswith(("http://", "https://")):
        # apt-get download writes the epoch of a version, too.
        named = f"{name}_{package.version.replace(':', '%3a')}_all.deb"
        found = [path for path in (Path(place) / basename, Path(place) / named) if path.is_file()]
        if not found:
            raise InputError(f"{place}: holds no {basename}: `apt-get download {name}` fetches it")
        file, is_own = found[0], False
    else:
        check_space(folder, package.size, name)
        file, is_own = folder / basename, True
        if not file.is_file():
            fetch(f"{(place or MIRROR).rstrip('/')}/{package.file}", file)
    if files.sha256(file) != package.sha256:
        if is_own:
            file.unlink()
        raise InputError(f"{file}: is not version {package.version} of {name}, which {_RECORD.name} names: fetch that")
    return file, is_own


def _members(package: Path, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
    """The wanted files of a Debian package: an ar archive that holds a compressed tar archive of them."""
    try:
        with package.open("rb") as file, tarfile.open(fileobj=_data(file), mode="r|") as archive:
            for entry in archive:
                name = entry.name.removeprefix("./")
                if name in wanted and (content := archive.extractfile(entry)) is not None:
                    yield name, content.read()
    except (tarfile.TarError, lzma.LZMAError, EOFError, ValueError) as error:
        raise InputError(f"{package}: is damaged ({files.reason(error)}): remove it and run the same again") from None


def _data(file: io.BufferedReader) -> lzma.LZMAFile:
    """The compressed data of a Debian package, opened."""
    if file.read(8) != b"!<arch>\n":
        raise ValueError("not a Debian package")
    while header := file.read(60):
        name, size = header[:16].decode("ascii").strip().rstrip("/"), int(header[48:58])
        if name == "data.tar.xz":
            return lzma.LZMAFile(file)
        file.seek(size + size % 2, io.SEEK_CUR)
    raise ValueError("no data.tar.xz in it")


def _save(folder: Path, picture: Picture, content: bytes) -> None:
    if sha256(content).hexdigest() != picture.sha256:
        raise InputError(f"{picture.member}: is not the file that {_RECORD.name} names: fetch that version")
    target = folder / picture.name
    with files.replacing(target) as partial:
        if target.suffix == ".jpg":
            image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
            assert image is not None
            _write(partial, shrink(image, LARGEST["photograph"]))
        else:
            partial.write_bytes(content)
            cutout = read_picture(partial)
            assert cutout is not None
            _write(partial, shrink(cutout[..., [2, 1, 0, 3]], LARGEST["cutout"]))


def _save_bundled(folder: Path, name: str) -> bool:
    """Save a photograph of scikit-image's that is for training; the others are for validation."""
    target = folder / "backgrounds" / f"skimage_{name}.jpg"
    if target.is_file():
        return False
    with files.replacing(target) as partial:
        _write(partial, to_8bit(photograph(name))[..., ::-1])
    return True


def _write(path: Path, image: np.ndarray) -> None:
    """Write BGR or BGRA."""
    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if path.suffix == ".jpg" else []
    encoded, data = cv2.imencode(path.suffix, np.ascontiguousarray(image), options)
    assert encoded
    path.write_bytes(data.tobytes())
