"""The command ``python -m eqvi study``: run the notebooks headless, several at a time, with parameters.

A YAML file of parameters has a line ``NAME: VALUE`` for each, as ``papermill -f`` reads it too; each goes to every
chosen notebook that declares it. Of a folder of such files each goes to the notebook that it is named after.
``-p NAME VALUE`` goes to every chosen notebook that declares NAME, ``-p NOTEBOOK.NAME VALUE`` to that one alone. Names
that no notebook declares are refused before anything runs; papermill itself would only warn.

Only a notebook that runs with the study's own parameters replaces figures and rows of the study, see `replaced_by`;
with any others it writes into ``build/play``.
"""

import argparse
import ast
import difflib
import json
import os
import sys
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from tqdm import tqdm

from eqvi.cli.dependencies import fingerprint, stage
from eqvi.cli.workers import outcomes
from eqvi.errors import InputError
from eqvi.files import alone, parse_json, reason, replacing, sha256, write_failure
from eqvi.paths import BUILD, FIGURES, NOTEBOOKS, PARAMS, PLAY, RESULTS, WEIGHTS, shown

Parameters = dict[str, Any]


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases: a million of them would make a small file a huge value."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it has an alias, which is not used here")
        return super().compose_node(parent, index)


#: The parameters of `make reproduce`.
QUICK = PARAMS / "quick"
#: Parameters that say where things are and how a run is carried out, not what is measured.
HOW = {"data", "weights", "device", "restart", "workers", "minutes"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``python -m eqvi study``."""
    add = parser.add_argument
    add("notebooks", nargs="*", metavar="NOTEBOOK", help="a path, or a name in notebooks/ (default: all of them)")
    help = "file of parameters, or a folder of one for each notebook (see notebooks/params/)"
    add("--params", type=Path, metavar="YAML", help=help)
    help = "one parameter, for every chosen notebook that declares it, or as NOTEBOOK.NAME; stronger than --params"
    add("-p", dest="overrides", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help=help)
    out = BUILD / "notebooks"
    add("--out", type=Path, default=out, help="folder for the executed notebooks (default: %(default)s)")
    add("--jobs", type=int, metavar="N", help="notebooks at a time (default: one for each core)")
    help = "of each notebook, 0: as many as it likes (default: 1 for the whole study, else 0)"
    add("--threads", type=int, metavar="N", help=help)
    help = "leave out notebooks whose source, parameters, code, packages and inputs are as when they last ran"
    add("--changed", action="store_true", help=help)
    help = "replace the study's rows and figures, whatever the parameters; else others than its own write to build/play"
    add("--replace", action="store_true", help=help)
    add("--timeout", type=int, metavar="SECONDS", help="time one cell may take (default: no limit)")


def run(args: argparse.Namespace) -> int:
    """Execute the chosen notebooks and say what was written; 1 if one of them fails, which ends the run.

    Raises:
        InputError: an unknown notebook or parameter, an unreadable file. Nothing has been run then.
    """
    from eqvi.cli import headless  # imports Jupyter, which takes a second that --help need not wait for

    notebooks = [find(name) for name in args.notebooks] or all_notebooks()
    declared = {path: headless.parameters_of(path) for path in notebooks}
    stems = {path.stem for path in [*declared, *all_notebooks()]}
    shared = read_params(args.params, stems) if args.params else {}
    values = assign(shared, [(name, text) for name, text in args.overrides], declared)
    replaces = {path: ["figures", "results"] for path in notebooks}
    if not args.replace:
        given = assign(shared, [], declared)
        replaces = {path: replaced_by(values[path], given[path], declared[path], args.params) for path in notebooks}

    def mark(path: Path) -> str:
        return fingerprint(path, values[path] | {"replaces": replaces[path]})

    if args.changed:
        known = _read_record(args.out)
        notebooks = [
            path for path in notebooks if not (args.out / path.name).is_file() or known.get(path.stem) != mark(path)
        ]
        if not notebooks:
            print(f"every executed notebook in {_relative(args.out)}/ is up to date")
            return 0
    jobs = min(args.jobs or os.cpu_count() or 1, len(notebooks))
    # Of the whole study every kernel computes on one thread: two kernels on two cores are faster than one after the
    # other on both, and results do not depend on the number of cores. A single notebook may have the machine.
    threads = (0 if args.notebooks else 1) if args.threads is None else args.threads
    before, start = _snapshot(), time.monotonic()
    print(f"running {_count(len(notebooks), 'notebook')} into {_relative(args.out)}/, {jobs} at a time")
    try:
        args.out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{args.out}: cannot be written: {write_failure(error)}") from None
    tasks = [(path, args.out / path.name, values[path], args.timeout, replaces[path]) for path in notebooks]
    with alone(args.out, 0):
        executed, failure = _execute_all(tasks, jobs, threads)
    changes = [file for file, content in _snapshot().items() if before.get(file) != content]
    if executed:  # their fingerprints are taken now: some read results that others have just written
        record = _read_record(args.out) | {path.stem: mark(path) for path in executed}
        with replacing(args.out.with_suffix(".json")) as partial:
            partial.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    if failure is not None:
        print(f"  [{len(executed) + 1}/{len(notebooks)}] {failure}")
        print(f"stopped there: {_count(len(notebooks) - len(executed) - 1, 'notebook')} not run")
        return 1
    print(
        f"{_count(len(notebooks), 'notebook')} executed in {time.monotonic() - start:.0f} s; "
        f"{_count(len(changes), 'figure or result file', 'figure and result files')} new or changed"
        + "".join(f"\n  {_relative(path)}" for path in changes)
    )
    playing = [path.stem for path in notebooks if not replaces[path]]
    if playing:
        print(
            f"{', '.join(playing)}: not with the study's own parameters, so rows and figures went to {shown(PLAY)}/ "
            "(--replace puts them in the place of the study's)"
        )
    return 0


def replaced_by(values: Parameters, given: Parameters, defaults: Mapping[str, str], params: Path | None) -> list[str]:
    """The committed folders that a notebook with these values replaces files in.

    Figures and results by the parameters of `make reproduce` or the notebook's defaults; results alone by another file
    of ``notebooks/params``; nothing by any other value. Parameters that say where or how (`HOW`) do not count.

    Args:
        values: of the notebook's parameters.
        given: those of the file.
        defaults: of all its parameters, as source text.
        params: that file, or folder.
    """
    own = {name: _literal(text) for name, text in defaults.items()}
    own |= given if params is None or PARAMS in (params.resolve(), *params.resolve().parents) else {}
    if any(value != own[name] for name, value in values.items() if name not in HOW):
        return []
    quick = not given or params is None or params.resolve() == QUICK
    return ["figures", "results"] if quick else ["results"]


def _execute_all(tasks: Sequence[tuple[Any, ...]], jobs: int, threads: int) -> tuple[list[Path], str | None]:
    """Execute notebooks, several at a time, those that read what others write after them.

    Args:
        tasks: as of `outcomes`; each begins with the notebook.
        jobs: how many at a time.
        threads: of each.

    Returns:
        Those that ran to their end, and the failure that ended it, if one did.
    """
    executed: list[Path] = []
    stages = [[task for task in tasks if stage(task[0]) == number] for number in range(3)]
    with tqdm(total=len(tasks), unit="notebook", disable=None, file=sys.stderr) as bar:
        for group in filter(None, stages):
            for path, seconds, failure in outcomes(group, jobs, threads):
                if failure is not None:
                    return executed, failure
                executed.append(path)
                bar.update()
                with bar.external_write_mode(sys.stdout):
                    print(f"  [{len(executed)}/{len(tasks)}] {path.stem}  {seconds:.1f} s", flush=True)
    return executed, None


def _read_record(folder: Path) -> dict[str, str]:
    """The fingerprints of the executed notebooks in a folder, by name; empty where there are none."""
    try:
        return parse_json(folder.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def all_notebooks() -> list[Path]:
    """The notebooks of the study in reading order, which their names give."""
    return sorted(NOTEBOOKS.glob("*.ipynb"))


def find(name: str) -> Path:
    """The notebook meant by a path, or by a name in ``notebooks/`` with or without its ending.

    Raises:
        InputError: there is none.
    """
    for path in (Path(name), NOTEBOOKS / name, NOTEBOOKS / f"{name}.ipynb"):
        if path.is_file():
            return path.resolve()
    raise InputError(f"notebook {name!r} does not exist{nearest(name, [path.stem for path in all_notebooks()])}")


def read_params(path: Path, stems: Collection[str]) -> dict[str, Parameters]:
    """The parameters in a folder, by notebook stem; those of a single file by ``all``.

    Raises:
        InputError: as `read_yaml`, or the folder holds none, or a file named after no notebook in `stems`.
    """
    if not path.is_dir():
        return {"all": read_yaml(path)}
    files = sorted(path.glob("*.yaml"))
    if not files:
        raise InputError(f"{path}: holds no NOTEBOOK.yaml: name a file or folder of parameters")
    for file in files:
        if file.stem not in stems:
            raise InputError(f"{file}: there is no notebook {file.stem!r}{nearest(file.stem, stems)}")
    return {file.stem: read_yaml(file) for file in files}


def read_yaml(path: Path) -> Parameters:
    """The parameters in a file.

    Raises:
        InputError: not readable, or not of that form.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _PlainLoader) or {}
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}: name a YAML file of parameters") from error
    except RecursionError:
        raise InputError(f"{path} is not valid YAML: it is nested too deeply") from None
    except (yaml.YAMLError, ValueError, TypeError, OverflowError) as error:  # of a day that is none, among others
        raise InputError(f"{path} is not valid YAML: {reason(error)[:300]}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: write 'PARAMETER: VALUE', a line for each")
    return {str(name): value for name, value in content.items()}


def assign(
    shared: Mapping[str, Parameters],
    overrides: Iterable[tuple[str, str]],
    declared: Mapping[Path, Mapping[str, str]],
) -> dict[Path, Parameters]:
    """The values of each notebook's parameters.

    Args:
        shared: parameters by notebook stem or ``all``, as `read_params` returns them.
        overrides: pairs of a name, or ``NOTEBOOK.NAME``, and a value's text.
        declared: the chosen notebooks, each with its parameters and their defaults as source text.

    Raises:
        InputError: a name that no notebook declares, or a value of another type than the default's.
    """
    known = {name for parameters in declared.values() for name in parameters}
    scoped = {f"{path.stem}.{name}" for path, parameters in declared.items() for name in parameters}
    for name in [*shared.get("all", {}), *(name for name, _ in overrides)]:
        if name not in known | scoped:
            raise InputError(f"none of the chosen notebooks has a parameter {name!r}{nearest(name, known)}")
    assigned: dict[Path, Parameters] = {}
    for path, defaults in declared.items():
        own = shared.get(path.stem, {})
        for name in own:
            if name not in defaults:
                raise InputError(f"{path.stem} has no parameter {name!r}{nearest(name, defaults)}")
        values = {name: value for name, value in shared.get("all", {}).items() if name in defaults} | own
        for full, text in overrides:
            name = full.removeprefix(f"{path.stem}.")
            if name in defaults:
                values[name] = text if isinstance(_literal(defaults[name]), str) else _literal(text)
        for name, value in values.items():
            _check_type(name, value, defaults[name])
        assigned[path] = values
    return assigned


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the most similar known one, or all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f": did you mean {close[0]!r}?"
    return f": choose from {', '.join(names)}" if names else ": there are none"


def _literal(text: str) -> Any:
    """A Python literal, or the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _check_type(name: str, value: Any, default: str) -> None:
    expected = type(_literal(default))
    fits = type(value) is expected or (expected is float and type(value) is int)
    if not fits and expected is not type(None):
        hint = " (YAML reads 1e-4 as text: write 1.0e-4)" if expected is float and isinstance(value, str) else ""
        raise InputError(
            f"parameter {name}={value!r} must be of type {expected.__name__}, as its default {default}{hint}"
        )


def _snapshot() -> dict[Path, str]:
    """A hash of each figure and result file; weights are too large for it."""
    files = [file for folder in (FIGURES, RESULTS) for file in sorted(folder.rglob("*")) if file.is_file()]
    return {file: sha256(file) for file in files if WEIGHTS not in file.parents}


def _count(number: int, noun: str, plural: str | None = None) -> str:
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def _relative(path: Path) -> str:
    near = os.path.relpath(path)
    return str(path) if near.startswith("..") else near
