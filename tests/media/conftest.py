"""Fixtures of the tests of images, videos and clips."""

from pathlib import Path

import pytest
from footage import scene, write_folder


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A folder of five small frames."""
    return write_folder(tmp_path / "in", scene(5))
