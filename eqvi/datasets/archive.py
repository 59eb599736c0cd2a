"""Unpacking of a downloaded zip archive: its members are checked before anything is written."""

import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from re import Pattern

from tqdm import tqdm

from eqvi.datasets.transfer import check_space
from eqvi.errors import InputError
from eqvi.files import reason, sha256, write_failure

# Frames and weights hardly compress; zeros do, a thousand times.
_EXPANSION = 50
# Names that Windows takes for a device, whatever follows their first dot.
_DEVICE = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])\s*(?:\..*)?", re.I | re.S
)
# What no file's name there contains, besides separators and the colon of drives and streams.
_FORBIDDEN = re.compile(r'[<>"|?*\x01-\x1f]')


class DamagedFile(InputError):
    """A file is truncated or altered; another copy would help."""


def unpack(archive: Path, folder: Path, member: Pattern[str]) -> tuple[dict[str, str], list[str]]:
    """Unpack the wanted members of `archive` into the new folder `folder`, which is removed again on any failure.

    Args:
        archive: the zip file.
        folder: does not exist yet.
        member: matches the full name of a wanted member; its first group is the member's path below `folder`.

    Returns:
        The sha256 of every file by its path below `folder`, sorted; the names of the members that were not wanted.

    Raises:
        DamagedFile: the archive is truncated, or a checksum in it is wrong.
        InputError: it holds nothing wanted or a path out of the folder, or the disk is full.
    """
    hashes = {}
    try:
        with zipfile.ZipFile(archive) as packed:
            wanted, others = _select(archive, packed.infolist(), member)
            size = sum(info.file_size for info in wanted.values())
            if size > _EXPANSION * archive.stat().st_size:
                raise InputError(
                    f"{archive}: would become {size / 1e6:.0f} MB, more than {_EXPANSION} times its size, as neither "
                    "frames nor weights do: do not trust this archive"
                )
            check_space(folder.parent, size, f"unpacking {archive.name}")
            folder.mkdir()
            with tqdm(total=size, desc=f"unpacking {archive.name}", unit="B", unit_scale=True, disable=None) as bar:
                for name, info in sorted(wanted.items()):
                    path = folder / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with packed.open(info) as source, path.open("wb") as target:
                        shutil.copyfileobj(source, target)  # compares the member's CRC at its end
                    hashes[name] = sha256(path)
                    bar.update(info.file_size)
    except InputError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise DamagedFile(f"{archive}: is no complete zip archive ({reason(error)}): fetch it again") from None
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise InputError(f"{archive}: cannot be unpacked to {folder.parent}: {write_failure(error)}") from None
    return hashes, others


def _select(
    archive: Path, infos: Iterable[zipfile.ZipInfo], member: Pattern[str]
) -> tuple[dict[str, zipfile.ZipInfo], list[str]]:
    """The wanted members by their paths, and the names of the others; every member is checked."""
    wanted: dict[str, zipfile.ZipInfo] = {}
    others: list[str] = []
    for info in infos:
        # `filename` is already cleaned of what leaves the folder; an archive that needs that is not to be trusted.
        name, kind = info.orig_filename, stat.S_IFMT(info.external_attr >> 16)
        leaves = PurePosixPath(name).is_absolute() or ".." in name.split("/") or any(sign in name for sign in "\\:\0")
        if leaves or kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise InputError(f"{archive}: its entry {name!r} would leave the folder: do not trust this archive")
        if not all(map(_is_plain, name.split("/"))):
            raise InputError(f"{archive}: its entry {name!r} is another file on Windows: do not trust this archive")
        if info.flag_bits & 1:
            raise InputError(f"{archive}: its entry {name!r} is encrypted: get an archive that needs no password")
        match = member.fullmatch(name)
        if match is None:
            others += [] if name.endswith("/") else [name]  # a name may be empty
        elif match[1] in wanted:
            raise InputError(f"{archive}: holds {match[1]} twice: get a proper copy")
        else:
            wanted[match[1]] = info
    if not wanted:
        first = f", but {others[0]}" if others else ""
        raise InputError(f"{archive}: holds none of the files that are looked for{first}: the wrong archive?")
    return wanted, others


def _is_plain(part: str) -> bool:
    """Whether a part of a path means the same file on Windows."""
    return part == "." or not (part.endswith((".", " ")) or _DEVICE.fullmatch(part) or _FORBIDDEN.search(part))
