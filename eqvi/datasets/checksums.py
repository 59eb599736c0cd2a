"""Checksums of downloads. Their authors publish none, so every later copy is compared with the first.

The record is ``results/hashes.json``: by name the sha256, the size in bytes, and the source of the first copy.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from eqvi.errors import InputError
from eqvi.files import parse_json, replacing
from eqvi.paths import RESULTS

RECORD = RESULTS / "hashes.json"


class Checksum(NamedTuple):
    """The sha256 of a file or folder in hexadecimal, its size in bytes, and its source (an address or a path)."""

    sha256: str
    bytes: int
    source: str


def lookup(name: str, record: Path = RECORD) -> Checksum | None:
    """The recorded checksum of `name`; None if there is none.

    Raises:
        InputError: the record is damaged.
    """
    return _read(record).get(name)


def verify(name: str, checksum: Checksum, record: Path = RECORD) -> None:
    """Compare a checksum with the recorded one, if there is one.

    Raises:
        InputError: they differ, or the record is damaged.
    """
    known = lookup(name, record)
    if known is not None and known.sha256 != checksum.sha256:
        raise InputError(
            f"{name} from {checksum.source} has sha256 {checksum.sha256[:16]}..., but the copy first seen, from "
            f"{known.source}, has {known.sha256[:16]}...: one of the two was changed; if this one is right, remove the "
            f"other from {record}"
        )


def add(checksums: dict[str, Checksum], record: Path = RECORD) -> None:
    """Verify all of `checksums`, then record those that are new.

    Raises:
        InputError: as `verify`, or the record cannot be written.
    """
    for name, checksum in checksums.items():
        verify(name, checksum, record)
    known = _read(record)
    if not checksums.keys() <= known.keys():
        entries = {name: checksum._asdict() for name, checksum in sorted((checksums | known).items())}
        with replacing(record) as partial:
            partial.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")


def fingerprint(hashes: Iterable[tuple[str, str]]) -> str:
    """One sha256 for many files, given by name and sha256: that of ``sha256sum FILES | sha256sum``."""
    digest = hashlib.sha256()
    for name, sha256 in hashes:
        digest.update(f"{sha256}  {name}\n".encode())
    return digest.hexdigest()


def _read(record: Path) -> dict[str, Checksum]:
    try:
        entries = parse_json(record.read_text(encoding="utf-8"))
        return {name: Checksum(**entry) for name, entry in entries.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{record}: is no record of hashes ({error}): restore it from git, or remove it") from None
