"""The command ``python -m eqvi download``: REDS_VTSR and published weights, from where they are kept today.

A download goes on where it was interrupted. What arrives is held to the hash that the server or an author gives, and
otherwise to what was seen first (`eqvi.datasets.checksums`). Any file that is there already can be named instead.
"""

import re
import shutil
from pathlib import Path
from typing import NamedTuple

from eqvi import files
from eqvi.datasets import checksums
from eqvi.datasets.archive import Damaged, unpack
from eqvi.datasets.checksums import Seen
from eqvi.datasets.reds import SPACING, fingerprint
from eqvi.datasets.transfer import ask, check_space, fetch, partial_file
from eqvi.errors import InputError
from eqvi.files import write_failure

_REDS = "https://huggingface.co/datasets/snah/REDS_VTSR/resolve/main/{}.zip"
_DRIVE = "https://drive.usercontent.google.com/download?id={}&export=download&confirm=t"
_IRR = (
    "https://raw.githubusercontent.com/visinf/irr/master/saved_check_point/pwcnet/IRR-PWC_sintel/checkpoint_best.ckpt"
)
_VGG = "https://download.pytorch.org/models/vgg16-397923af.pth"


class Source(NamedTuple):
    """Something that can be fetched.

    Attributes:
        url: today's home.
        file: its name there.
        below: the folder, below the one that the user names, that it goes to.
        gives: the files or folders that it is wanted for, there.
        member: pattern of the wanted files of a zip archive; None if the source is no archive.
        git_blob: hash that git knows it by, where it is kept in git.
        sha256: how it begins, where the file's author says so.
    """

    url: str
    file: str
    below: str
    gives: tuple[str, ...]
    member: re.Pattern[str] | None = None
    git_blob: str | None = None
    sha256: str | None = None


def _archive(name: str) -> Source:
    split = name.partition("_")[0]
    # Every frame has its place, however many folders the archive puts around it; no other rate or split matches.
    member = re.compile(rf"(?:.*/)?({name}/[0-9]{{3}}/[0-9]{{8}}\.png)")
    return Source(_REDS.format(name), f"{name}.zip", split, (name,), member)


#: By what is asked for, and the name there.
SOURCES: dict[str, dict[str, Source]] = {
    "data": {
        name: _archive(name)
        for name in (*(f"{split}_{rate}fps" for split in ("val", "train") for rate in SPACING), "test_15fps")
    },
    "weights": {
        "published": Source(
            _DRIVE.format("10BUA1ExZ5Cb_Fgetr-7chUHeXVgK9C2q"),
            "checkpoints.zip",
            "",
            (
                "scopeflow/Sintel_ft/checkpoint_best.ckpt",
                "Stage3_RCSN_RQFP/Stage3_checkpoint.ckpt",
                "Stage4_MSFuion/Stage4_checkpoint.ckpt",
                "Stage123_scratch/Stage123_scratch_checkpoint.ckpt",
                "Stage123_scratch_vgg/Stage123_scratch_vgg_checkpoint.ckpt",
            ),
            re.compile(r"(?:.*checkpoints/)?(.+\.ckpt)"),
        ),
        "irr-pwc": Source(
            _IRR,
            "checkpoint_best.ckpt",
            "",
            ("irr/IRR-PWC_sintel/checkpoint_best.ckpt",),
            git_blob="987178d0ef7338ebc54712a49ba617a64ada9431",
        ),
        "vgg": Source(_VGG, Path(_VGG).name, "", (f"vgg/{Path(_VGG).name}",), sha256="397923af"),
    },
}


def locate(source: Source, place: str | None, alone: bool) -> str | Path:
    """The address or file to take a source from."""
    if place is None:
        return source.url
    exact = place.endswith(Path(source.file).suffix)
    if exact and not alone:
        raise InputError(
            f"--from {place} is one file: name one thing to take from it, or the folder that holds them all"
        )
    if re.match(r"https?://", place):
        return place if exact else f"{place.rstrip('/')}/{source.file}"
    path = Path(place) if exact else Path(place) / source.file
    if not path.is_file():
        raise InputError(f"{path}: there is no such file: name with --from the file itself, its folder or an address")
    return path


def check_space_for(folder: Path, places: dict[Path, str | Path]) -> None:
    """Make sure that everything to be downloaded fits: the archives one by one, and all that comes out of them.

    Pictures and weights do not compress, so what comes out is as large as what goes in.
    """
    sizes = {}
    for file, place in places.items():
        if isinstance(place, str) and not file.is_file():
            sizes[file] = ask(place).size or 0
    if sizes:
        have = sum(part.stat().st_size for part in map(partial_file, sizes) if part.is_file())
        names = ", ".join(file.name for file in sizes)
        check_space(folder, sum(sizes.values()) + max(sizes.values()) - have, f"downloading and unpacking {names}")


def install(name: str, source: Source, place: str | Path, home: Path, record: Path, keep: bool) -> None:
    """Get one source into `home`, checked; nothing of it is seen there before all of it has been."""
    file = place if isinstance(place, Path) else home / source.file
    staging = home / f".{name}.unpacking"
    try:
        announced = fetch(place, file).sha256 if isinstance(place, str) and not file.is_file() else None
        print(f"{name}: checking {file}")
        found = Seen(files.sha256(file), file.stat().st_size, str(place))
        if announced not in (None, found.sha256):
            raise Damaged(f"{file}: arrived damaged (its sha256 is not the one that the server gives): fetch it again")
        if source.git_blob is not None and files.git_blob(file) != source.git_blob:
            raise Damaged(f"{file}: is not the file that its authors keep in git ({source.git_blob[:12]}...)")
        if source.sha256 is not None and not found.sha256.startswith(source.sha256):
            raise Damaged(f"{file}: its sha256 does not begin with {source.sha256}, as its author's does")
        checksums.hold(source.file if source.member else source.gives[0], found, record)
        shutil.rmtree(staging, ignore_errors=True)
        if source.member is not None:
            parts, others = unpack(file, staging, source.member)
            entries = {source.file: found} | _seen(source, parts, staging, f"{source.file} from {place}")
        else:
            parts, others = _copied(file, staging, source.gives[0], found.sha256), []
            entries = {source.gives[0]: found}
        checksums.remember(entries, record)
        for part in [part for part in source.gives if (staging / part).is_dir()] or sorted(parts):
            (home / part).parent.mkdir(parents=True, exist_ok=True)
            (staging / part).replace(home / part)
    except Damaged as error:
        if isinstance(place, Path):
            raise
        file.unlink()
        raise InputError(f"{error} (what came was removed: run the same again)") from None
    except OSError as error:
        raise InputError(f"{home}: {name} cannot be put there: {write_failure(error)}") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    if not isinstance(place, Path) and not keep:
        file.unlink(missing_ok=True)
    left_out = f"; {len(others)} other file(s) of the archive left out, first {others[0]}" if others else ""
    print(f"{name}: {len(parts)} file(s) in {home}{left_out}")
    for part in source.gives:
        if not (home / part).exists():
            print(f"{name}: {part} was expected besides, and the archive holds no such file")


def _seen(source: Source, parts: dict[str, str], staging: Path, origin: str) -> dict[str, Seen]:
    """Hashes to record: one for a whole folder (`eqvi.datasets.reds.fingerprint`), or one per file."""
    sizes = {part: (staging / part).stat().st_size for part in parts}
    folder = next((part for part in source.gives if (staging / part).is_dir()), None)
    if folder is None:
        return {part: Seen(digest, sizes[part], origin) for part, digest in parts.items()}
    return {folder: Seen(fingerprint(parts.items()), sum(sizes.values()), origin)}


def _copied(file: Path, staging: Path, part: str, digest: str) -> dict[str, str]:
    target = staging / part
    target.parent.mkdir(parents=True)
    shutil.copyfile(file, target)
    return {part: digest}
