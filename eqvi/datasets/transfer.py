"""Download of one file over HTTP: resumed after any interruption, and whole or not there at all.

Not done by huggingface_hub, although REDS_VTSR lies on that Hub: over HTTP, version 2.4 starts from the first byte in
every new process, accepts a body that differs from the sha256 that the Hub announces, and refuses a mirror that is no
Hub. Here the part that arrived survives a kill, the caller gets the announced sha256, and any HTTP server will do.
"""

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

_CHUNK = 1 << 14  # bytes; the unfinished chunk is lost when a connection breaks
_TIMEOUT = 60.0  # seconds without a byte
_ATTEMPTS = 6  # in a row that bring nothing
_TEMPORARY = (408, 425, 429, 500, 502, 503, 504)
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")
_UNCOMPRESSED = {"Accept-Encoding": "identity"}  # a compressed body could not be resumed


class RemoteFile(NamedTuple):
    """What a server says about a file.

    Attributes:
        size: bytes; None if unknown.
        sha256: in hexadecimal; None if unknown. Hugging Face sends it for large files.
        tag: changes when the file does; None if there is none.
    """

    size: int | None
    sha256: str | None
    tag: str | None


class _Interrupted(Exception):
    """The connection ended early, or the server has a temporary failure."""


def query(url: str) -> RemoteFile:
    """What the server says about `url`; nothing is downloaded.

    Raises:
        InputError: as `fetch`, at the first failure.
    """
    try:
        with requests.get(url, headers=_UNCOMPRESSED, stream=True, timeout=_TIMEOUT) as response:
            _check_response(url, response)
            return _remote_file(response)
    except (requests.RequestException, _Interrupted) as error:
        raise InputError(f"{url}: {_explain(error)}: try again, or name another place with --from") from None


def fetch(url: str, target: Path, timeout: float = _TIMEOUT, pause: float = 1.0) -> RemoteFile:
    """Download `url` to `target`, which appears when it is complete; until then the part that came is kept beside it.

    Args:
        url: http or https.
        target: the file.
        timeout: seconds without a byte after which the connection is renewed.
        pause: seconds before the second attempt, doubled for each further one that brings nothing.

    Raises:
        InputError: no server, no such file, a web page instead of a file, a full disk, or too many failures in a row.
    """
    partial = partial_file(target)
    tag_file = partial.with_name(f"{partial.name}.tag")
    failures = 0
    while True:
        size = _size(partial)
        try:
            remote = _download(url, partial, tag_file, timeout)
        except (requests.RequestException, _Interrupted) as error:
            progress = _size(partial) > size
            failures = 0 if progress else failures + 1
            if failures >= _ATTEMPTS or isinstance(error, ValueError):  # a ValueError: not an address
                kept = f"; {_size(partial) / 1e6:.1f} MB are kept: run the same again" if partial.is_file() else ""
                times = f", {failures} times in a row" if failures > 1 else ""
                raise InputError(f"{url}: {_explain(error)}{times}{kept}") from None
            tqdm.write(f"{url}: {_explain(error)}; resuming at {_size(partial) / 1e6:.1f} MB", file=sys.stderr)
            time.sleep(0 if progress else pause * 2 ** (failures - 1))
        except OSError as error:
            raise InputError(f"{target}: cannot be written: {write_failure(error)}") from None
        else:
            partial.replace(target)
            tag_file.unlink(missing_ok=True)
            return remote


def partial_file(target: Path) -> Path:
    """Where `fetch` keeps the part of `target` that has arrived."""
    return target.with_name(f".{target.name}.part")


def check_space(folder: Path, needed: int, purpose: str) -> None:
    """Make sure that the disk of `folder`, which exists, has `needed` bytes free.

    Raises:
        InputError: it has not.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(f"{folder}: {purpose} needs {needed / 1e9:.1f} GB, {free / 1e9:.1f} are free: make room first")


def _download(url: str, partial: Path, tag_file: Path, timeout: float) -> RemoteFile:
    """Start or resume the file `partial`; `tag_file` holds the tag and size of the file that it is a part of."""
    size = _size(partial) if tag_file.is_file() else 0
    headers = _UNCOMPRESSED | ({"Range": f"bytes={size}-"} if size else {})
    with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
        remote, start = _remote_file(response), 0
        if response.status_code in (206, 416):
            content_range = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            first, total = content_range.groups() if content_range else (None, "*")
            start = size if first is None else int(first)
            remote = remote._replace(size=None if total == "*" else int(total))
            if start != size or tag_file.read_bytes() != f"{remote.tag} {remote.size}".encode():
                partial.unlink()
                raise _Interrupted("the file has changed on the server")
            if response.status_code == 416:  # all bytes arrived before the interruption
                return remote
        _check_response(url, response)
        if remote.size is not None:
            check_space(partial.parent, remote.size - start, f"the rest of {url.rpartition('/')[2]}")
        tag_file.write_text(f"{remote.tag} {remote.size}", encoding="utf-8")
        label = partial.name.removeprefix(".").removesuffix(".part")
        with (
            partial.open("ab" if start else "wb") as file,
            tqdm(total=remote.size, initial=start, desc=label, unit="B", unit_scale=True, disable=None) as bar,
        ):
            for chunk in response.iter_content(_CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
    received = _size(partial)
    if remote.size is not None and received < remote.size:
        raise _Interrupted(f"the connection ended after {received} of {remote.size} bytes")
    if remote.size is not None and received > remote.size:
        partial.unlink()
        raise _Interrupted(f"the server sent {received} bytes where it had announced {remote.size}")
    return remote


def _check_response(url: str, response: requests.Response) -> None:
    """Refuse a response that does not carry the file."""
    status = f"{response.status_code} {response.reason}".strip()
    if response.status_code in _TEMPORARY:
        raise _Interrupted(f"the server answers {status}")
    if not response.ok:
        raise InputError(f"{url}: the server answers {status}: check the address, or name another place with --from")
    if "text/html" in response.headers.get("Content-Type", ""):
        raise InputError(f"{url}: is a web page, not the file: save the file with a browser and name it with --from")


def _remote_file(response: requests.Response) -> RemoteFile:
    """What a response and the redirections to it say about the file."""
    size = response.headers.get("Content-Length")
    linked = next((tag.strip('"') for r in response.history if (tag := r.headers.get("X-Linked-ETag"))), None)
    return RemoteFile(
        size=int(size) if size is not None else None,
        sha256=linked if linked and re.fullmatch(r"[0-9a-f]{64}", linked) else None,
        tag=linked or response.headers.get("ETag") or response.headers.get("Last-Modified"),
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _explain(error: Exception) -> str:
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke"
    return reason(error)
