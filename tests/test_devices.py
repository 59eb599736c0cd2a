"""Memory of the process: kept for what comes, and given back."""

import platform
import subprocess
import sys

import pytest

_MIB = 2**20
_HELD = """
from eqvi.devices import keep_memory, release_memory, used_memory
if {keep}:
    keep_memory()
block = bytearray(100 * 2**20)
full = used_memory("cpu")
del block
freed = used_memory("cpu")
release_memory()
print(full - freed, full - used_memory("cpu"))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
@pytest.mark.parametrize("keep", [False, True])
def test_memory_is_kept_for_what_comes_and_given_back_when_asked(keep: bool) -> None:
    done = subprocess.run([sys.executable, "-c", _HELD.format(keep=keep)], capture_output=True, text=True, check=True)
    freed, released = map(int, done.stdout.split())
    assert freed < 10 * _MIB if keep else freed > 90 * _MIB
    assert released > 90 * _MIB


@pytest.mark.parametrize("asked", [None, "active"])
def test_threads_of_a_command_sleep_while_they_wait_unless_asked_otherwise(
    asked: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if asked is None:
        monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    else:
        monkeypatch.setenv("OMP_WAIT_POLICY", asked)
    # Before torch is there, or OpenMP has begun without it.
    code = "import os, sys; from eqvi.__main__ import main; main([]); "
    code += "print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"{asked or 'passive'} False"
