"""One site for all tests of this folder."""

from pathlib import Path

import pytest
import small_site

from eqvi.site.build import build


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small site with its explorer; not to be written to."""
    root = tmp_path_factory.mktemp("study")
    build(root / "site", small_site.study(root), small_site.explorer)
    return root / "site"
