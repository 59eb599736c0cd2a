"""A zip archive from somebody else: looked through before anything is unpacked, and never outside its folder."""

import hashlib
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from re import Pattern

from tqdm import tqdm

from eqvi.datasets.transfer import check_space
from eqvi.errors import InputError
from eqvi.files import reason, write_failure

_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError)
_PIECE = 1 << 20


class Damaged(InputError):
    """The archive is cut short or changed; a new copy would help."""


def unpack(archive: Path, folder: Path, member: Pattern[str]) -> tuple[dict[str, str], list[str]]:
    """Unpack the wanted files of `archive` below `folder`, which is made, and removed again if anything is wrong.

    Args:
        archive: the zip file.
        folder: a new folder.
        member: matches the full name of a wanted file; its first group is where the file goes below `folder`.

    Returns:
        The sha256 of every file unpacked, by its place below `folder`, sorted; the names of files that were not wanted.

    Raises:
        Damaged: the archive is cut short, or a checksum in it is wrong.
        InputError: it holds nothing wanted, or what could leave the folder, or the disk is full.
    """
    try:
        with zipfile.ZipFile(archive) as packed:
            wanted, others = _chosen(archive, packed, member)
            check_space(folder.parent, sum(info.file_size for info in wanted.values()), f"unpacking {archive.name}")
            return _unpacked(packed, wanted, folder), others
    except _DAMAGE as error:
        if isinstance(error, InputError):
            raise
        shutil.rmtree(folder, ignore_errors=True)
        raise Damaged(f"{archive}: is no complete zip archive ({reason(error)}): fetch it again") from None
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise InputError(f"{archive}: cannot be unpacked to {folder.parent}: {write_failure(error)}") from None


def _chosen(
    archive: Path, packed: zipfile.ZipFile, member: Pattern[str]
) -> tuple[dict[str, zipfile.ZipInfo], list[str]]:
    wanted: dict[str, zipfile.ZipInfo] = {}
    others: list[str] = []
    for info in packed.infolist():
        # zipfile would quietly rename what leaves the folder; whoever made such an archive meant no good.
        name, kind = info.orig_filename, stat.S_IFMT(info.external_attr >> 16)
        unsafe = PurePosixPath(name).is_absolute() or ".." in name.split("/") or any(sign in name for sign in "\\:\0")
        if unsafe or kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise InputError(f"{archive}: its entry {name!r} would leave the folder: do not trust this archive")
        if info.flag_bits & 1:
            raise InputError(f"{archive}: its entry {name!r} is encrypted: get an archive that needs no password")
        if info.is_dir():
            continue
        match = member.fullmatch(name)
        if match is None:
            others.append(name)
        elif match[1] in wanted:
            raise InputError(f"{archive}: holds {match[1]} twice: get a proper copy")
        else:
            wanted[match[1]] = info
    if not wanted:
        held = f", but {others[0]}" if others else ""
        raise InputError(f"{archive}: holds none of the files that are looked for{held}: the wrong archive?")
    return wanted, others


def _unpacked(packed: zipfile.ZipFile, wanted: dict[str, zipfile.ZipInfo], folder: Path) -> dict[str, str]:
    folder.mkdir()
    hashes = {}
    total = sum(info.file_size for info in wanted.values())
    with tqdm(total=total, desc=f"unpacking {Path(packed.filename or '').name}", unit="B", unit_scale=True,
              disable=None) as bar:  # fmt: skip
        for place, info in sorted(wanted.items()):
            path, digest = folder / place, hashlib.sha256()
            path.parent.mkdir(parents=True, exist_ok=True)
            with packed.open(info) as source, path.open("wb") as target:
                while piece := source.read(_PIECE):  # at the end the checksum is compared
                    digest.update(piece)
                    target.write(piece)
                    bar.update(len(piece))
            hashes[place] = digest.hexdigest()
    return hashes
