"""Files: written whole or not at all, hashed, and kept from two processes at once."""

import contextlib
import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from eqvi.errors import InputError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a hidden sibling of `path` to write to; rename it on success, remove it on any failure.

    Raises:
        InputError: the place is not writable or the disk is full.
    """
    partial = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {write_failure(error)}") from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def write_failure(error: OSError) -> str:
    """Why a write failed and what to do about it, for the end of a line."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; free some space and run the same command again"
    return f"{reason(error)}; choose a place that is writable"


def reason(error: BaseException) -> str:
    """What an exception says, on one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())


def sha256(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def git_blob(path: Path) -> str:
    """The name that git gives a file: the sha1 of a small header and its content, in hexadecimal."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


@contextlib.contextmanager
def alone(folder: Path, wait: bool = False) -> Iterator[None]:
    """Make a folder, and keep other processes that ask for the same out of it; a kill lets go of it too.

    Args:
        folder: where nobody else shall write.
        wait: until it is free, rather than refuse.

    Raises:
        InputError: another process has it, or it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made: {write_failure(error)}") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            # Some network disks know no locks: there, care has to be enough.
            if error.errno == errno.EWOULDBLOCK:
                raise InputError(f"{folder}: another process works there now: wait, or give another folder") from None
        yield
    finally:
        os.close(handle)
