"""Keeps the generated parts of README.md and of the model card in step with the project.

The parts (see `eqvi.markdown` for the markers):

- ``make targets``: the Makefile's targets with their explanations;
- ``options MODULE``: the command-line options that ``eqvi.MODULE`` declares;
- ``table FILE``: a CSV file, named from the project's root;
- ``bench FILE``: speed and memory from a file of rows that ``eqvi bench`` wrote;
- ``psnr FILE``: mean PSNR by clip and model from a file of rows that ``eqvi evaluate`` wrote;
- ``leads FILE MODEL``: how far a model of such a file is ahead of the others;
- ``published``: the published table, each figure beside what was measured;
- ``sensitivity RUN``: every reading of a run's PSNR and SSIM;
- ``claims``: the ledger of claims;
- ``weights``: every file of weights that is kept, and how it was trained;
- ``ablation``: the rows of the ablation with their scores;
- ``flow errors``: how far flow estimators are from the truth;
- ``modules``: every module with the first line of its docstring.
"""

import argparse
import ast
import importlib
from pathlib import Path

from eqvi.errors import InputError
from eqvi.markdown import csv_table, fill, make_targets, markdown_table, means_table, read_rows
from eqvi.paths import RESULTS, ROOT, WEIGHTS
from eqvi.reports import ablation, card, claims, flow_errors, speed, tables

#: What has generated parts.
DOCUMENTS = (ROOT / "README.md", WEIGHTS / "README.md")


def filled(path: Path) -> str:
    """A document with its generated parts as they should be.

    Raises:
        InputError: the document is missing, or its markers cannot be followed.
    """
    try:
        return fill(path.read_text(encoding="utf-8"), part)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except InputError as error:
        raise InputError(f"{path.relative_to(ROOT)}: {error}") from error


def part(name: str) -> str:
    """What belongs between the markers of that name.

    Raises:
        InputError: no such part.
    """
    kind, _, subject = name.partition(" ")
    if name == "make targets":
        targets = make_targets((ROOT / "Makefile").read_text(encoding="utf-8"))
        return markdown_table(["command", "what it does"], [(f"`make {target}`", text) for target, text in targets])
    if kind == "table" and subject:
        return csv_table(ROOT / Path(subject))
    if kind == "bench" and subject:
        return markdown_table(speed.HEAD, speed.cells(speed.summary(speed.read(ROOT / subject))))
    if kind == "psnr" and subject:
        return means_table(read_rows(ROOT / subject), "clip", "model", "psnr")
    if kind == "leads" and subject:
        file, _, model = subject.partition(" ")
        return tables.leads(RESULTS, file, model)
    if kind == "options" and subject:
        return options_table(subject)
    if name == "modules":
        return modules_table()
    if name == "published":
        return tables.published(RESULTS)
    if kind == "sensitivity" and subject:
        return tables.sensitivity(RESULTS, subject)
    if name == "claims":
        return claims.summary(claims.ledger(RESULTS))
    if name == "weights":
        return card.weights_table(RESULTS)
    if name == "ablation":
        return ablation.score_table(RESULTS)
    if name == "flow errors":
        return flow_errors.flow_errors(RESULTS)
    files = "'table FILE', 'bench FILE', 'psnr FILE', 'leads FILE MODEL', 'sensitivity RUN', 'options MODULE'"
    known = f"'make targets', 'modules', 'published', 'claims', 'weights', 'ablation', 'flow errors', {files}"
    raise InputError(f"there is no generated part {name!r}: write {known}")


def modules_table() -> str:
    """Every module of the package with the first line of its docstring."""
    rows = []
    for folder in ("eqvi", *(f"eqvi/{path.name}" for path in sorted((ROOT / "eqvi").glob("[a-z]*/")))):
        for path in sorted((ROOT / folder).glob("[a-z]*.py")):
            docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            name = f"{folder}/{path.stem}".removeprefix("eqvi/").replace("/", ".")
            rows.append((f"[`{name}`]({folder}/{path.name})", docstring.split("\n")[0]))
    return markdown_table(["module", "what it holds"], rows)


def options_table(module: str) -> str:
    """The options that a module of this package declares in its ``add_arguments``.

    Raises:
        InputError: there is no such module, or it declares none.
    """
    try:
        declare = importlib.import_module(f"eqvi.cli.{module}").add_arguments
    except (ModuleNotFoundError, AttributeError) as error:
        raise InputError(f"eqvi.{module} declares no command-line options") from error
    parser = argparse.ArgumentParser(add_help=False)
    declare(parser)
    rows = []
    for action in parser._actions:
        names = ", ".join(action.option_strings) or str(action.metavar or action.dest)
        if action.option_strings and action.nargs != 0:
            names += f" {_placeholder(action)}"
        text = (action.help or "") % {**vars(action), "prog": "eqvi", "default": _shown(action.default)}
        rows.append((f"`{names}`", text))
    return markdown_table(["option", "meaning"], rows)


def _placeholder(action: argparse.Action) -> str:
    if isinstance(action.metavar, tuple):
        return " ".join(action.metavar)
    if action.choices:
        return "|".join(str(choice) for choice in action.choices)
    return action.metavar or action.dest.upper()


def _shown(default: object) -> object:
    """A default as a reader knows it: a path in the project from its root."""
    if isinstance(default, Path) and default.is_relative_to(ROOT):
        return default.relative_to(ROOT)
    return default
