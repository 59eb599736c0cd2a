"""The generated parts of the project's documents."""

from argparse import Namespace
from pathlib import Path

import pandas as pd
import pytest

from eqvi.cli import readme as readme_command
from eqvi.errors import InputError
from eqvi.reports import claims, findings, readme
from eqvi.reports.claim_list import OF_PAPER, OF_STUDY
from eqvi.reports.verdict_rule import FAILS, HOLDS, MISSING, OPEN


@pytest.mark.parametrize("name", ["tables", "table", "sensitivity", "leads real_clips_x2", "published figures"])
def test_an_unknown_part_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"there is no generated part '{name}': write one of 'findings'"):
        readme.part(name)


def test_a_run_that_was_not_measured_has_a_table_that_says_so() -> None:
    assert readme.part("sensitivity nothing_rendered").count("| psnr |") == 5


def test_findings_refuse_to_outlive_their_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = claims.read()
    monkeypatch.setattr(claims, "read", lambda folder: ledger)
    text = readme.part("findings")
    assert "+0.93 dB [+0.28, +1.56]" in text
    assert str(len(ledger)) not in text.replace(".", " ").split()  # the lists are never added up
    for name in ("Claims of the paper", "Claims of this study", "Properties proved by tests"):
        assert text.count(name) == 1
    assert f"{claims.counts(ledger, OF_PAPER)[MISSING]} are not measured here" in text
    assert f"{claims.counts(ledger, OF_STUDY)[HOLDS]} hold" in text
    assert "spans 1.58 dB [0.73, 2.46]" in text  # of a span, which has no sign
    assert "are 0.0073 to 0.1065 dB" in text
    changed = ledger.assign(verdict=OPEN)
    monkeypatch.setattr(claims, "read", lambda folder: changed)
    with pytest.raises(InputError, match=r"README says of 'quadratic motion beats.* that it holds, the ledger says"):
        readme.part("findings")


def test_the_answer_in_short_relies_on_verdicts_that_are_watched() -> None:
    relied = dict(pair for statement in findings.STATEMENTS for pair in statement.relied.items())
    held, failed = (findings._QUADRATIC, findings._RCSN, *findings._FINISHING), (findings._RQFP, findings._FUSION)
    assert {relied[claim] for claim in held} == {HOLDS}
    assert {relied[claim] for claim in failed} == {FAILS}
    assert readme.part("findings").startswith(findings.IN_SHORT)


def test_an_undecided_claim_says_so_in_its_finding() -> None:
    ledger = claims.read().set_index("claim")
    (claim,) = ledger.index[:1]
    row = {"verdict": OPEN, "low": -0.1, "high": 0.3, "estimate": 0.1, "kind": "difference", "p": 0.2}
    rows = pd.DataFrame([row | {"data": "real clips", "scenes": 9, "reason": ""}], index=[claim])
    assert findings._number(rows, claim) == "+0.10 dB [-0.10, +0.30] on 9 scenes (not decided)"
    assert findings._number(rows.assign(p=float("nan")), claim).endswith("(too few to decide)")
    assert findings._number(rows.assign(verdict=MISSING, reason="needs x"), claim) == "not measured (needs x)"


def test_an_unknown_list_is_refused() -> None:
    with pytest.raises(InputError, match="there is no list 'mine' of claims: write one of paper, study"):
        readme.part("claims mine")


def test_weights_are_listed_with_their_training() -> None:
    weights = readme.weights().set_index("weights")
    assert weights.loc["`eqvi-quarter-dis`", "made by"] == "stage scratch, motion quadratic, after narrow_first"
    assert weights.notna().all(axis=None)
    assert isinstance(weights, pd.DataFrame)


def test_the_command_checks_before_it_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "README.md"
    for module in (readme, readme_command):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(readme_command, "DOCUMENTS", (file,))
    (tmp_path / "rows.csv").write_text("a,b\nx,1\n")
    file.write_text("<!-- begin: table rows.csv -->\n<!-- end: table rows.csv -->\n")
    statuses = [readme_command.run(Namespace(check=check)) for check in (True, False, True)]
    assert statuses == [1, 0, 0]
    assert "| x | 1 |" in file.read_text()
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "rows.csv"]
