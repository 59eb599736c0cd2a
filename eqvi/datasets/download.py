"""REDS_VTSR and published weights: where they are kept, and how they are downloaded, checked and installed.

What arrives is compared with the hash that the server or an author gives, and otherwise with the first copy
(`eqvi.datasets.checksums`). A file that is already here, or a mirror, can take the place of the server.
"""

import re
import shutil
from pathlib import Path
from typing import NamedTuple

from eqvi import files
from eqvi.datasets import checksums
from eqvi.datasets.archive import DamagedFile, unpack
from eqvi.datasets.checksums import Checksum, fingerprint
from eqvi.datasets.reds import SPACING
from eqvi.datasets.transfer import check_space, fetch, partial_file, query
from eqvi.errors import InputError
from eqvi.files import write_failure


class Source(NamedTuple):
    """A file to download: a zip archive, or a single file of weights.

    Attributes:
        url: its address.
        filename: its name there.
        contents: the files or folders that it is wanted for.
        subfolder: of the user's folder, where they go.
        member: pattern of an archive's wanted members, as of `unpack`; None if the file is no archive.
        git_blob: its hash in git, if it is kept in git.
        sha256: the beginning of its sha256, if its author gives that.
    """

    url: str
    filename: str
    contents: tuple[str, ...]
    subfolder: str = ""
    member: re.Pattern[str] | None = None
    git_blob: str | None = None
    sha256: str | None = None


def _reds(name: str) -> Source:
    url = f"https://huggingface.co/datasets/snah/REDS_VTSR/resolve/main/{name}.zip"
    # Frames of this split and rate only, at any depth of the archive.
    member = re.compile(rf"(?:.*/)?({name}/[0-9]{{3}}/[0-9]{{8}}\.png)")
    return Source(url, f"{name}.zip", (name,), name.partition("_")[0], member)


def _torchvision(folder: str, file: str) -> Source:
    """Weights of torchvision's; the last part of the file's name begins its sha256."""
    url = f"https://download.pytorch.org/models/{file}"
    return Source(url, file, (f"{folder}/{file}",), sha256=Path(file).stem.rpartition("-")[2])


#: By kind, then by name.
SOURCES: dict[str, dict[str, Source]] = {
    "data": {
        name: _reds(name)
        for name in (*(f"{split}_{rate}fps" for split in ("val", "train") for rate in SPACING), "test_15fps")
    },
    "weights": {
        "published": Source(
            "https://drive.usercontent.google.com/download?id=10BUA1ExZ5Cb_Fgetr-7chUHeXVgK9C2q"
            "&export=download&confirm=t",
            "checkpoints.zip",
            (
                "scopeflow/Sintel_ft/checkpoint_best.ckpt",
                "Stage3_RCSN_RQFP/Stage3_checkpoint.ckpt",
                "Stage4_MSFuion/Stage4_checkpoint.ckpt",
                "Stage123_scratch/Stage123_scratch_checkpoint.ckpt",
                "Stage123_scratch_vgg/Stage123_scratch_vgg_checkpoint.ckpt",
            ),
            member=re.compile(r"(?:.*checkpoints/)?(.+\.ckpt)"),
        ),
        "irr-pwc": Source(
            "https://raw.githubusercontent.com/visinf/irr/master/"
            "saved_check_point/pwcnet/IRR-PWC_sintel/checkpoint_best.ckpt",
            "checkpoint_best.ckpt",
            ("irr/IRR-PWC_sintel/checkpoint_best.ckpt",),
            git_blob="987178d0ef7338ebc54712a49ba617a64ada9431",
        ),
        "vgg": _torchvision("vgg", "vgg16-397923af.pth"),
        "lpips": _torchvision("lpips", "alexnet-owt-7be5be79.pth"),
        "resnet18": _torchvision("resnet18", "resnet18-f37072fd.pth"),
        "raft": _torchvision("raft", "raft_large_C_T_SKHT_V2-ff5fadd5.pth"),
        "raft-small": _torchvision("raft-small", "raft_small_C_T_V2-01064c6d.pth"),
    },
}


def locate(source: Source, place: str | None, alone: bool) -> str | Path:
    """The address or file to take a source from: its own address, or at `place`, a file, folder or address of either.

    Raises:
        InputError: there is no such file, or one file is to serve several sources (not `alone`).
    """
    if place is None:
        return source.url
    is_file = place.endswith(Path(source.filename).suffix)
    if is_file and not alone:
        raise InputError(f"--from {place} is one file: name one thing to take from it, or the folder of all files")
    if re.match(r"https?://", place):
        return place if is_file else f"{place.rstrip('/')}/{source.filename}"
    path = Path(place) if is_file else Path(place) / source.filename
    if not path.is_file():
        raise InputError(f"{path}: there is no such file: name with --from the file itself, its folder or an address")
    return path


def check_space_for(folder: Path, places: dict[Path, str | Path]) -> None:
    """Make sure that everything to be downloaded fits, together with the contents of the largest archive.

    Images and weights do not compress, so an archive's contents are as large as the archive.

    Raises:
        InputError: they do not fit, or a server does not answer.
    """
    sizes = {
        file: query(place).size or 0 for file, place in places.items() if isinstance(place, str) and not file.is_file()
    }
    if sizes:
        arrived = sum(part.stat().st_size for part in map(partial_file, sizes) if part.is_file())
        names = ", ".join(file.name for file in sizes)
        check_space(folder, sum(sizes.values()) + max(sizes.values()) - arrived, f"downloading and unpacking {names}")


def install(name: str, source: Source, place: str | Path, folder: Path, record: Path, keep: bool) -> None:
    """Download a source unless `place` is a file, check it, and move its contents to `folder` when all is well.

    Raises:
        InputError: the file is damaged, or another one than it should be; another process installs it; or as `fetch`
            and `unpack`.
    """
    with files.alone(folder / name, 0):
        if not is_there(source, folder):  # nor has another process put it there meanwhile
            _install(name, source, place, folder, record, keep)


def is_there(source: Source, folder: Path) -> bool:
    """Whether everything that a source holds is in a folder."""
    return all((folder / part).exists() for part in source.contents)


def _install(name: str, source: Source, place: str | Path, folder: Path, record: Path, keep: bool) -> None:
    file = place if isinstance(place, Path) else folder / source.filename
    staging = folder / f".{name}.unpacking"
    try:
        announced = fetch(place, file).sha256 if isinstance(place, str) and not file.is_file() else None
        print(f"{name}: checking {file}")
        checksum = Checksum(files.sha256(file), file.stat().st_size, str(place))
        if announced not in (None, checksum.sha256):
            raise DamagedFile(f"{file}: arrived damaged (its sha256 is not the one the server gives): fetch it again")
        if source.git_blob is not None and files.git_blob(file) != source.git_blob:
            raise DamagedFile(f"{file}: is not the file that its authors keep in git ({source.git_blob[:12]}...)")
        if source.sha256 is not None and not checksum.sha256.startswith(source.sha256):
            raise DamagedFile(f"{file}: its sha256 does not begin with {source.sha256}, as its author's does")
        recorded_name = source.filename if source.member else source.contents[0]
        checksums.verify(recorded_name, checksum, record)
        shutil.rmtree(staging, ignore_errors=True)
        if source.member is not None:
            hashes, others = unpack(file, staging, source.member)
            contents = _content_checksums(source, hashes, staging, f"{source.filename} from {place}")
        else:
            hashes, others, contents = {recorded_name: checksum.sha256}, [], {}
            (staging / recorded_name).parent.mkdir(parents=True)
            shutil.copyfile(file, staging / recorded_name)
        checksums.add({recorded_name: checksum} | contents, record)
        for part in [part for part in source.contents if (staging / part).is_dir()] or sorted(hashes):
            (folder / part).parent.mkdir(parents=True, exist_ok=True)
            (staging / part).replace(folder / part)
    except DamagedFile as error:
        if isinstance(place, Path):
            raise
        file.unlink()
        raise InputError(f"{error} (what came was removed: run the same again)") from None
    except OSError as error:
        raise InputError(f"{folder}: {name} cannot be put there: {write_failure(error)}") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    if not isinstance(place, Path) and not keep:
        file.unlink(missing_ok=True)
    left_out = f"; {len(others)} other file(s) of the archive left out, first {others[0]}" if others else ""
    print(f"{name}: {len(hashes)} file(s) in {folder}{left_out}")
    for part in source.contents:
        if not (folder / part).exists():
            print(f"{name}: {part} was expected besides, and the archive holds no such file")


def _content_checksums(source: Source, hashes: dict[str, str], staging: Path, origin: str) -> dict[str, Checksum]:
    """One checksum for a folder of frames (its `fingerprint`), or one for each file."""
    sizes = {part: (staging / part).stat().st_size for part in hashes}
    if (staging / source.contents[0]).is_dir():
        return {source.contents[0]: Checksum(fingerprint(hashes.items()), sum(sizes.values()), origin)}
    return {part: Checksum(digest, sizes[part], origin) for part, digest in hashes.items()}
