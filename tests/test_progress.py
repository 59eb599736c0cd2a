import sys
from types import SimpleNamespace

import pytest
from tqdm import tqdm
from tqdm.notebook import tqdm as widget

from eqvi import progress
from eqvi.paths import REPLACES


@pytest.mark.parametrize(
    ("kernel", "headless", "hidden", "kind"),
    [(True, False, False, widget), (True, True, False, tqdm), (True, False, True, tqdm), (False, False, False, tqdm)],
    ids=["JupyterLab", "the study's kernel", "hidden", "no notebook"],
)
def test_a_bar_is_a_widget_where_somebody_looks(
    kernel: bool, headless: bool, hidden: bool, kind: type, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    shell = SimpleNamespace(kernel=object()) if kernel else None
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.delenv(REPLACES, raising=False)
    if headless:
        monkeypatch.setenv(REPLACES, "")
    with progress.bar(total=2, hidden=hidden) as bar:
        assert type(bar) is kind
        bar.update()
    assert capsys.readouterr().err == ""
