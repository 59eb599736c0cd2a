"""One file from a server to this disk, however often the connection breaks on the way."""

import re
import shutil
import sys
import time
from pathlib import Path
from typing import NamedTuple

import requests
from tqdm import tqdm

from eqvi.errors import InputError
from eqvi.files import reason, write_failure

_PIECE = 1 << 14  # bytes: what had come of a piece is lost when the connection breaks
#: Seconds without a single byte after which a connection counts as broken.
_SILENCE = 60.0
# An interruption after which something more arrived does not count: a long download may have many.
_ATTEMPTS = 6
_ANSWERS_WORTH_ANOTHER_TRY = (408, 425, 429, 500, 502, 503, 504)
_SPAN = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")
_PLAIN = {"Accept-Encoding": "identity"}  # compressed on the way, a file could not be gone on with


class Offer(NamedTuple):
    """What a server says of a file.

    Attributes:
        size: bytes; None if it does not say.
        sha256: in hexadecimal; None if it does not say. Hugging Face does, for large files.
        tag: changes when the file does; None if there is none to rely on.
    """

    size: int | None
    sha256: str | None
    tag: str | None


def ask(url: str, silence: float = _SILENCE) -> Offer:
    """What the server says of `url`, without downloading it.

    Raises:
        InputError: as `fetch`, at the first failure.
    """
    try:
        with requests.get(url, headers=_PLAIN, stream=True, timeout=silence) as answer:
            _refuse(url, answer)
            return _offer(answer)
    except (requests.RequestException, _Broken) as error:
        raise InputError(f"{url}: {_explained(error)}: try again, or name another place with --from") from None


def fetch(url: str, target: Path, silence: float = _SILENCE, pause: float = 1.0) -> Offer:
    """Download `url` to `target`; what is there of it after an interruption is kept beside it and gone on with.

    Args:
        url: http or https.
        target: the file, which appears under this name only when it is complete.
        silence: seconds without a byte after which the connection is made anew.
        pause: seconds before the second attempt; doubled for each one after it that brings nothing.

    Raises:
        InputError: no server, no such file, a page instead of a file, a full disk, or too many broken connections with
            nothing in between.
    """
    partial, about = partial_file(target), target.with_name(f".{target.name}.part.tag")
    fruitless = 0
    while True:
        have = _size(partial)
        try:
            offer = _attempt(url, partial, about, silence)
        except (requests.RequestException, _Broken) as error:
            came = _size(partial) > have
            fruitless = 0 if came else fruitless + 1
            if fruitless >= _ATTEMPTS or isinstance(error, ValueError):  # the latter: an address that is none
                kept = f"; {_size(partial) / 1e6:.1f} MB are kept: run the same again" if partial.is_file() else ""
                times = f", {fruitless} times in a row" if fruitless > 1 else ""
                raise InputError(f"{url}: {_explained(error)}{times}{kept}") from None
            tqdm.write(f"{url}: {_explained(error)}; going on from {_size(partial) / 1e6:.1f} MB", file=sys.stderr)
            time.sleep(0 if came else pause * 2 ** (fruitless - 1))
        except OSError as error:
            raise InputError(f"{target}: cannot be written: {write_failure(error)}") from None
        else:
            partial.replace(target)
            about.unlink(missing_ok=True)
            return offer


def partial_file(target: Path) -> Path:
    """Where `fetch` keeps what it has of `target` until that is complete."""
    return target.with_name(f".{target.name}.part")


def check_space(folder: Path, needed: int, what: str) -> None:
    """Make sure that `needed` bytes fit on the disk of `folder`, which exists.

    Raises:
        InputError: they do not.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            f"{folder}: {what} needs {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free: make room first"
        )


class _Broken(Exception):
    """The connection ended early, or the server asks to come again."""


def _attempt(url: str, partial: Path, about: Path, silence: float) -> Offer:
    """Go on with, or begin, the file `partial` until it is complete; `about` remembers which file it is a part of."""
    have = _size(partial) if about.is_file() else 0
    headers = _PLAIN | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=silence) as answer:
        offer, start = _offer(answer), 0
        if answer.status_code in (206, 416):
            span = _SPAN.fullmatch(answer.headers.get("Content-Range", ""))
            start = have if span is None or span[1] is None else int(span[1])
            offer = offer._replace(size=None if span is None or span[2] == "*" else int(span[2]))
            if start != have or about.read_text(encoding="utf-8") != f"{offer.tag} {offer.size}":
                partial.unlink()
                raise _Broken("the file has changed on the server")
            if answer.status_code == 416:  # everything had come before the interruption
                return offer
        _refuse(url, answer)
        if offer.size is not None:
            check_space(partial.parent, offer.size - start, f"the rest of {url.rpartition('/')[2]}")
        about.write_text(f"{offer.tag} {offer.size}", encoding="utf-8")
        _receive(answer, partial, start, offer.size)
    return offer


def _refuse(url: str, answer: requests.Response) -> None:
    """Pass only an answer that carries the file."""
    if answer.status_code in _ANSWERS_WORTH_ANOTHER_TRY:
        raise _Broken(f"the server answers {answer.status_code} {answer.reason}")
    if not answer.ok:
        said = f"{answer.status_code} {answer.reason}".strip()
        raise InputError(f"{url}: the server answers {said}: check the address, or name another place with --from")
    if "text/html" in answer.headers.get("Content-Type", ""):
        raise InputError(
            f"{url}: answers with a web page, not the file: open it in a browser, save the file, name it with --from"
        )


def _receive(answer: requests.Response, partial: Path, start: int, size: int | None) -> None:
    label = partial.name.removeprefix(".").removesuffix(".part")
    with (
        partial.open("ab" if start else "wb") as file,
        tqdm(total=size, initial=start, desc=label, unit="B", unit_scale=True, disable=None) as bar,
    ):
        for piece in answer.iter_content(_PIECE):
            file.write(piece)
            bar.update(len(piece))
    there = _size(partial)
    if size is not None and there < size:
        raise _Broken(f"the connection ended after {there} of {size} bytes")
    if size is not None and there > size:
        partial.unlink()
        raise _Broken(f"the server sent {there} bytes where it had announced {size}")


def _offer(answer: requests.Response) -> Offer:
    """What the answer and the redirections that led to it say."""
    size = answer.headers.get("Content-Length")
    tags = [one.headers.get("X-Linked-ETag") for one in answer.history]
    linked = next((tag.strip('"') for tag in tags if tag), None)
    tag = linked or answer.headers.get("ETag") or answer.headers.get("Last-Modified")
    return Offer(
        size=int(size) if size is not None else None,
        sha256=linked if linked and re.fullmatch(r"[0-9a-f]{64}", linked) else None,
        tag=tag,
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _explained(error: Exception) -> str:
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke"
    return reason(error)
