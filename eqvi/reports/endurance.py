"""How the study bears faults, repetition and long runs. Needs no torch.

The rows (``results/{faults,fuzz,repeatability,soak}.csv``) are made by ``make faults``, ``make repeat`` and ``make
soak``; see ``tests/faults``.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from eqvi.errors import InputError
from eqvi.files import parse_json

#: What a disturbed command did, in the order of the columns of `fault_counts`.
EFFECTS = ("killed", "interrupted", "refused in one line", "one of two refused", "went on to its end")
#: The quantities of a long run, with their labels.
QUANTITIES = {"memory_mib": "memory, MiB", "handles": "open files", "processes": "processes"}
#: What a long run counts.
ITEMS = {"interpolation": "frames written", "evaluation": "rows written", "training": "steps"}
_COMMANDS = {"faults": "make faults", "fuzz": "make faults", "repeatability": "make repeat", "soak": "make soak"}


def provenance(folder: Path) -> pd.DataFrame:
    """Of each of the four files: rows, date, commit, and the command that makes it again; empty if not measured."""
    table = {name: _record(folder, name) for name in _COMMANDS}
    lines = [
        {"rows of": name, "rows": len(_rows(folder, name)), **record, "made by": _COMMANDS[name]}
        for name, record in table.items()
    ]
    return pd.DataFrame(lines, columns=["rows of", "rows", "date", "commit", "made by"])


def fault_counts(folder: Path) -> pd.DataFrame:
    """Faults by kind: how many, what the disturbed commands did (`EFFECTS`), and how many ended wrong.

    A fault ends right if the command, run again undisturbed, leaves the same bytes as if nothing had happened.
    """
    rows = _rows(folder, "faults")
    if rows.empty:
        return pd.DataFrame(columns=["kind", "faults", *EFFECTS, "same bytes after it", "wrong"])
    rows["effect"] = rows["effect"].fillna("").map(_effect)
    counts = pd.crosstab(rows["fault"], rows["effect"]).reindex(columns=list(EFFECTS), fill_value=0)
    same = (rows["outcome"] == "same bytes").groupby(rows["fault"]).sum()
    total = rows["fault"].value_counts().reindex(counts.index)
    counts.insert(0, "faults", total)
    counts["same bytes after it"], counts["wrong"] = same, total - same
    counts = counts.sort_values("faults", ascending=False, kind="stable")
    counts.loc["all"] = counts.sum()
    return counts.rename_axis(index="kind", columns=None).reset_index()


def _effect(text: str) -> str:
    """One of `EFFECTS`, or what is said of a fault that ended wrong."""
    if text.startswith("succeeded; refused") or (text.startswith("refused") and text.endswith("; succeeded")):
        return "one of two refused"
    names = {"killed": "killed", "interrupted": "interrupted", "refused": "refused in one line"}
    return names.get(text.partition(":")[0], "went on to its end" if text == "succeeded" else "wrong")


def met(folder: Path) -> pd.DataFrame:
    """Faults by command (rows) and kind (columns); zero where a kind cannot meet a command."""
    rows = _rows(folder, "faults")
    if rows.empty:
        return pd.DataFrame(columns=["command"])
    return pd.crosstab(rows["command"], rows["fault"]).rename_axis(columns=None).reset_index()


def wrong_endings(folder: Path) -> pd.DataFrame:
    """The faults that ended wrong, a row each, with what was wrong; empty if none did."""
    rows = _rows(folder, "faults")
    if rows.empty:
        return rows
    return rows.loc[rows["outcome"] != "same bytes", ["number", "fault", "command", "detail", "outcome"]]


def spoilt_inputs(folder: Path) -> pd.DataFrame:
    """Spoilt inputs by reader: how many were refused in one line, read all the same, or answered otherwise.

    Columns:
        reader: what read them.
        refused in one line, read: counts.
        longest, s: for one input.
        wrong: what went wrong first, which ended the reader's turn; empty if nothing did.
    """
    rows = _rows(folder, "fuzz")
    if rows.empty:
        return pd.DataFrame(columns=["reader"])
    rows = rows.fillna({"wrong": ""})
    return rows.rename(columns={"refused": "refused in one line", "longest": "longest, s"})


def identical_commands(folder: Path) -> pd.DataFrame:
    """Commands compared with themselves byte by byte: how many, and how many are identical, by what differed."""
    rows = _rows(folder, "repeatability")
    if rows.empty:
        return pd.DataFrame(columns=["against", "commands", "identical"])
    compared = rows[rows["largest"].isna()]
    groups = compared.groupby("against", sort=False)["equal"]
    return groups.agg(commands="size", identical="sum").reset_index()


def frame_differences(folder: Path) -> pd.DataFrame:
    """The largest difference of a frame in [0, 1], a row for each condition, a column for each model; 0 is identical.

    Against the frame of one process with one thread, one window at a time, on the processor as it is.
    """
    rows = _rows(folder, "repeatability")
    if rows.empty:
        return pd.DataFrame()
    frames = rows.dropna(subset="largest")
    table = frames.pivot(index="against", columns="what", values="largest")
    return table.reindex(frames["against"].unique())


def long_runs(folder: Path) -> dict[str, pd.DataFrame]:
    """The looks at each long run while it lasted, by its name; columns are ``done``, ``seconds`` and `QUANTITIES`."""
    rows = _rows(folder, "soak")
    if rows.empty:
        return {}
    alive = rows[rows["memory_mib"] > 0]
    return {str(name): part.reset_index(drop=True) for name, part in alive.groupby("run", sort=False)}


def flatness(folder: Path) -> pd.DataFrame:
    """A row for each long run: how much, for how long, memory on its way, files and processes, what is left behind.

    Memory is the median of the looks in the tenth of the run that follows its first tenth, its middle, and its end.
    """
    ends = _rows(folder, "soak").groupby("run", sort=False).last() if long_runs(folder) else pd.DataFrame()
    table = []
    for name, looks in long_runs(folder).items():
        share = looks["seconds"] / looks["seconds"].iloc[-1]
        memory = {
            f"MiB {when}": looks["memory_mib"][share.between(start, start + 0.1)].median()
            for when, start in (("after a tenth", 0.1), ("at half", 0.45), ("at the end", 0.9))
        }
        later = looks[share >= 0.1]
        most = {f"most {label}": later[column].max() for column, label in QUANTITIES.items() if column != "memory_mib"}
        left = {"temporary files left": ends.loc[name, "temporary"]}
        done = {"run": name, "done": ends.loc[name, "done"], "of": ITEMS.get(name, "items")}
        table.append({**done, "minutes": ends.loc[name, "seconds"] / 60, **memory, **most, **left})
    return pd.DataFrame(table)


def _record(folder: Path, name: str) -> dict[str, Any]:
    path = folder / f"{name}.json"
    if not path.is_file():
        return {"date": "not measured", "commit": ""}
    try:
        record = parse_json(path.read_text(encoding="utf-8"))
        return {key: record[key] for key in ("date", "commit")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read ({error!r}): make it again ({_COMMANDS[name]})") from error


def _rows(folder: Path, name: str) -> pd.DataFrame:
    """The rows of one of the files; none if it was not measured."""
    path = folder / f"{name}.csv"
    if not path.is_file():
        return pd.DataFrame()
    columns = {
        "faults": "fault command detail effect outcome", "repeatability": "what against equal largest",
        "fuzz": "reader refused read longest wrong",
    }  # fmt: skip
    wanted = columns.get(name, f"run done seconds temporary {' '.join(QUANTITIES)}").split()
    try:
        rows = pd.read_csv(path)
        return rows.astype({wanted[0]: str}) if rows[wanted].size else rows
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} cannot be read ({error}): make it again ({_COMMANDS[name]})") from error
