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


@pytest.mark.parametrize(
    ("asked", "expected"),
    [({}, "2000 None"), ({"OMP_WAIT_POLICY": "active"}, "None active"), ({"GOMP_SPINCOUNT": "7"}, "7 None")],
)
def test_threads_of_a_command_sleep_soon_unless_asked_otherwise(
    asked: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in asked.items():
        monkeypatch.setenv(name, value)
    # Before torch is there, or OpenMP has begun without it.
    code = "import os, sys; from eqvi.__main__ import main; main([]); "
    code += "print(os.environ.get('GOMP_SPINCOUNT'), os.environ.get('OMP_WAIT_POLICY'), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"{expected} False"
