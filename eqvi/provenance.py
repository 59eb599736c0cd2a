"""Provenance: the commit, versions, device and machine that every record of a run names."""

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterable
from typing import Any

import torch

from eqvi.paths import ROOT


def surroundings(device: str | torch.device, packages: Iterable[str]) -> dict[str, Any]:
    """Commit, versions, device and machine, ready for JSON.

    Args:
        device: that computes; on CUDA the record has the name of the GPU.
        packages: whose versions are recorded, by their names for pip; None for one that is not installed.
    """
    device = torch.device(device)
    return {
        "commit": _commit(),
        "versions": {name: _version(name) for name in packages} | {"python": platform.python_version()},
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "machine": platform.machine(),
    }


def processor() -> dict[str, Any]:
    """The processor, its cores, and the threads that torch uses, for records of computing time."""
    name = platform.processor()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            name = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), name)
    except OSError:  # no Linux
        pass
    return {"processor": name, "cores": os.cpu_count(), "threads": torch.get_num_threads()}


def _commit() -> str:
    try:
        described = subprocess.run(
            ["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
        )
    except OSError:  # no git here
        return "unknown"
    return described.stdout.strip() or "unknown"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
