"""A sample of what ``make faults`` does in full."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from eqvi.paths import ROOT


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are followed in /proc")
def test_a_seeded_sample_of_faults_bombs_and_spoilt_input() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests")))}
    command = [sys.executable, "-m", "faults.sample", "--seed", "0"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert done.stdout.strip().endswith("0 ended wrong")
