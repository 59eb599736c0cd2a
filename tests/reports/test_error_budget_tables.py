"""The tables of the error budget, from rows."""

import json
from pathlib import Path

import pytest

from eqvi.reports import error_budget
from eqvi.reports.error_budget import BASELINE, BOTH, COMMON, DIFFERENCE, VARIANTS

KINDS = {"000": "linear", "001": "shake"}


def write(folder: Path) -> None:
    """Two clips of two frames; a variant's gain is its place in the list, doubled on the second clip."""
    rows = [
        f"{name},{clip},{frame},{30 + order * (1 + int(clip)) + 2 * frame}"
        for order, name in enumerate((BASELINE, *VARIANTS))
        for clip in KINDS
        for frame in (0, 1)
    ]
    (folder / "budget.csv").write_text("\n".join(["model,clip,frame,psnr", *rows]) + "\n")
    (folder / "budget.json").write_text(json.dumps({"protocol": "p", "parameters": {"kinds": KINDS}}))


def test_gains_over_the_baseline(tmp_path: Path) -> None:
    write(tmp_path)
    budget = error_budget.budget(tmp_path, "budget")
    assert list(budget.index) == list(VARIANTS)
    assert budget["estimate"].tolist() == pytest.approx([1.5 * (order + 1) for order in range(len(VARIANTS))])
    assert set(budget["reason"]) == {"2 clips: no interval"}


def test_by_clip_and_by_kind(tmp_path: Path) -> None:
    write(tmp_path)
    by_clip = error_budget.by_clip(tmp_path, "budget")
    assert by_clip["frames"].tolist() == [2, 2]
    assert by_clip[BASELINE].tolist() == [31, 31]
    assert by_clip.loc["001", DIFFERENCE] == 2 * by_clip.loc["000", DIFFERENCE] > 0
    by_kind = error_budget.by_kind(tmp_path, "budget")
    assert list(by_kind.index) == ["linear path", "shake path"]
    assert by_kind.loc["shake path", COMMON] == by_clip.loc["001", COMMON]


def test_what_a_mode_is_worth_where_the_other_is_true(tmp_path: Path) -> None:
    write(tmp_path)
    budget, shares = error_budget.budget(tmp_path, "budget"), error_budget.shares(tmp_path, "budget")
    wanted = [budget.loc[BOTH, "estimate"] - budget.loc[name, "estimate"] for name in (DIFFERENCE, COMMON)]
    assert shares["estimate"].tolist() == pytest.approx(wanted)


def test_what_was_not_measured_says_how_to(tmp_path: Path) -> None:
    assert error_budget.by_clip(tmp_path, "error_budget_x2").empty
    assert "evaluate --budget" in error_budget.budget(tmp_path, "error_budget_x2")["reason"].iloc[0]
