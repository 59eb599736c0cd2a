"""Files and folders written whole or not at all, locks between processes, hashes."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from eqvi.errors import InputError

# File systems allow names of 255 bytes; a hidden sibling's name is longer than its file's.
_LONGEST_NAME = 240


@contextlib.contextmanager
def replacing(path: Path, sync: bool = False, patience: float = 2) -> Iterator[Path]:
    """Yield a hidden sibling of the file `path` to write to; rename it on success, remove it on any failure.

    Args:
        path: the file; it keeps its last content until the new one is complete.
        sync: flush to the disk before renaming, so that a power cut leaves a whole file, too.
        patience: seconds to wait for another process that writes the same file.

    Raises:
        InputError: the place is not writable, the disk is full, or another process writes the file.
    """
    partial = _sibling(path, "part", path.suffix)
    with alone(path, patience):
        try:
            yield partial
            if sync:
                with partial.open("rb") as file:
                    os.fsync(file.fileno())
            os.replace(partial, path)
        except OSError as error:
            raise InputError(f"{path}: cannot be written: {write_failure(error)}") from None
        finally:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty hidden sibling of `folder` to fill; it takes the folder's place on success, else it is removed.

    Raises:
        InputError: as `replacing`; another process that fills the folder is not waited for.
    """
    partial, old = (_sibling(folder, kind) for kind in ("part", "old"))
    with contextlib.suppress(OSError):  # the lock is beside the folder; making the folder itself names the reason
        folder.parent.mkdir(parents=True, exist_ok=True)
    with alone(folder, 0):
        try:
            for leftover in (partial, old):
                shutil.rmtree(leftover, ignore_errors=True)
            partial.mkdir(parents=True)
            yield partial
            if folder.exists():
                folder.rename(old)
            partial.rename(folder)
        except OSError as error:
            raise InputError(f"{folder}: cannot be written: {write_failure(error)}") from None
        finally:
            if old.exists() and not folder.exists():
                old.rename(folder)
            for leftover in (partial, old):
                shutil.rmtree(leftover, ignore_errors=True)


@contextlib.contextmanager
def exclusive(folder: Path, wait: bool = False) -> Iterator[None]:
    """Create `folder` and lock it against other processes; a process that is killed frees its lock.

    The lock is an empty hidden file in the folder, which stays there.

    Args:
        folder: where no other process that asks for this lock may work.
        wait: until the lock is free, instead of refusing.

    Raises:
        InputError: another process has the lock, or the folder is not writable.
    """
    lock = FileLock(folder / ".lock", timeout=-1 if wait else 0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise InputError(f"{folder}: another process works there now: wait, or give another folder") from None
    except OSError as error:
        # Some network disks offer no locks: nothing is locked there.
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP):
            raise InputError(f"{folder}: cannot be written: {write_failure(error)}") from None
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def alone(path: Path, patience: float, named: Path | None = None) -> Iterator[None]:
    """Keep other processes from writing the file or folder `path`; the lock's hidden file is removed at the end.

    Args:
        path: what is written; the lock is beside it.
        patience: seconds to wait for another process.
        named: what the message names, if not `path`.

    Raises:
        InputError: another process has the lock, or the place is not writable.
    """
    if not path.parent.is_dir():  # where nobody can write, nobody need be kept out
        yield
        return
    file = _sibling(path, "lock")
    lock = FileLock(file, timeout=patience)
    try:
        try:
            lock.acquire()
        except Timeout:
            if not file.exists():  # filelock tries again where no file can be made, as in /proc
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from None
            raise InputError(
                f"{named or path}: another process writes it now: wait for its end, or give another name"
            ) from None
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP):
            raise InputError(f"{named or path}: cannot be written: {write_failure(error)}") from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)
        lock.release()


def remove_leftovers(path: Path) -> None:
    """Remove the hidden files of a process that was killed while it wrote `path`, which nobody writes now.

    Raises:
        OSError: they cannot be removed.
    """
    for leftover in (_sibling(path, "lock"), _sibling(path, "part", path.suffix)):
        leftover.unlink(missing_ok=True)


def _sibling(path: Path, kind: str, suffix: str = "") -> Path:
    """The hidden file ``.NAME.kind`` beside `path`; NAME is a hash where it would be too long."""
    name = path.name.removesuffix(suffix)
    if len(os.fsencode(path.name)) + len(kind) + 2 > _LONGEST_NAME:
        name = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:32]
    return path.with_name(f".{name}.{kind}{suffix}")


def write_failure(error: OSError) -> str:
    """Why a write failed and what to do about it, for the end of an error message."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; free some space and run the same command again"
    return f"{reason(error)}; choose a place that is writable"


def reason(error: BaseException) -> str:
    """The message of an exception, on one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())


def parse_json(text: str | bytes) -> Any:
    """`json.loads`, whose every failure is a ValueError here: deeply nested text would exceed Python's stack."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def git_blob(path: Path) -> str:
    """The hash by which git names a file: the SHA-1 of a header and the content, in hexadecimal."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
