"""What downloads looked like when they were first seen: no author publishes hashes, so every later copy is compared.

The record is ``results/hashes.json``: by name, the sha256, the size in bytes, and where the first copy came from.
"""

import json
from pathlib import Path
from typing import NamedTuple

from eqvi.errors import InputError
from eqvi.files import replacing
from eqvi.paths import RESULTS

RECORD = RESULTS / "hashes.json"


class Seen(NamedTuple):
    """What is recorded of a file or folder: its sha256 in hexadecimal, its size in bytes, where it came from."""

    sha256: str
    bytes: int
    source: str


def recorded(name: str, record: Path = RECORD) -> Seen | None:
    """What is known of `name`; None if it was never seen.

    Raises:
        InputError: the record is damaged.
    """
    entry = _read(record).get(name)
    return None if entry is None else Seen(**entry)


def hold(name: str, found: Seen, record: Path = RECORD) -> bool:
    """Hold `found` to the record; whether there is one for `name`.

    Raises:
        InputError: it differs from what was seen first, or the record is damaged.
    """
    known = recorded(name, record)
    if known is not None and known.sha256 != found.sha256:
        raise InputError(
            f"{name} from {found.source} has sha256 {found.sha256[:16]}..., but the copy first seen, from "
            f"{known.source}, has {known.sha256[:16]}...: one of the two was changed; if this one is right, remove the "
            f"other from {record}"
        )
    return known is not None


def remember(entries: dict[str, Seen], record: Path = RECORD) -> None:
    """Hold everything to the record, and add what it lacks.

    Raises:
        InputError: as `hold`, or the record cannot be written.
    """
    new = {name: found._asdict() for name, found in entries.items() if not hold(name, found, record)}
    if new:
        with replacing(record) as beside:
            beside.write_text(
                json.dumps(dict(sorted((_read(record) | new).items())), indent=1) + "\n", encoding="utf-8"
            )


def _read(record: Path) -> dict[str, dict]:
    try:
        entries = json.loads(record.read_text(encoding="utf-8"))
        for entry in entries.values():
            Seen(**entry)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{record}: is no record of hashes ({error}): restore it from git, or remove it") from None
    return entries
