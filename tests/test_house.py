"""The house rules that a machine can check."""

import ast
import os
import pkgutil
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from eqvi.paths import NOTEBOOKS, ROOT
from eqvi.reports import readme

# The rooms of the package from the bottom up: a room imports only from those before it, and from the ground floor.
# The command line is the front door, which may import anything.
ROOMS = ["reports", "model", "media", "datasets", "viz", "training", "evaluation", "site", "cli"]
GROUND = {"__init__", "devices", "errors", "files", "graphs", "markdown", "metrics", "paths", "progress", "provenance"}
# By name within the package: "motion", "training.batch"; a folder's own __init__ goes by the folder's name.
MODULES = {
    ".".join(path.relative_to(ROOT / "eqvi").with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "eqvi").rglob("*.py"))
}
# Packages that only these files may import.
RESERVED = {
    "matplotlib": {"viz.charts", "viz.figure", "viz.layouts"},
    "papermill": {"cli.headless"},
    "latex2mathml": {"site.markdown"},
    "torchvision": {"model.torchvision_models"},
    "lpips": {"evaluation.lpips"},
}
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MAKEFILE = (ROOT / "Makefile").read_text()
# The targets that the Makefile explains with a ## comment.
TARGETS = re.findall(r"^([a-z][a-z-]*):[^=\n]*?## *.+$", MAKEFILE, re.MULTILINE)


def imported(path: Path) -> Iterator[str]:
    """The full names that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, f"{path.name} has a relative import"
            if node.module.split(".")[0] == "eqvi":  # of one of its modules, or of what a module or the package offers
                names = (f"{node.module}.{alias.name}" for alias in node.names)
                yield from (name if name.removeprefix("eqvi.") in MODULES else node.module for name in names)
            else:
                yield node.module


def packages_of(full: str) -> str:
    return full.split(".")[0]


def packages(path: Path) -> set[str]:
    return set(map(packages_of, imported(path)))


def room(module: str) -> str:
    """The room of a module, ``""`` on the ground floor."""
    head, _, rest = module.partition(".")
    return head if rest or head in ROOMS else ""


def inner(module: str) -> set[str]:
    """The modules of this package that one of them imports itself."""
    names = {full for full in imported(MODULES[module]) if packages_of(full) == "eqvi"}
    return {"__init__" if full == "eqvi" else full.removeprefix("eqvi.") for full in names}


def reached(module: str) -> set[str]:
    """The modules of this package that importing one of them loads, itself among them."""
    todo, seen = {module}, set[str]()
    while todo:
        name = todo.pop()
        seen.add(name)
        todo |= inner(name) - seen
    return seen


class TestRooms:
    def test_every_module_is_in_a_room_or_on_the_ground_floor(self) -> None:
        assert {name for name in MODULES if room(name) == ""} == GROUND | {"__main__"}
        assert {room(name) for name in MODULES} == {"", *ROOMS}

    @pytest.mark.parametrize("name", MODULES)
    def test_a_room_imports_only_from_rooms_below_it(self, name: str) -> None:
        allowed = {"", *ROOMS[: ROOMS.index(room(name)) + 1]} if room(name) else {""}
        assert {room(other) for other in inner(name)} <= allowed

    def test_no_import_runs_in_a_circle(self) -> None:
        done = set[str]()
        while free := {name for name in MODULES if inner(name) <= done} - done:
            done |= free
        assert set(MODULES) - done == set()

    @pytest.mark.parametrize("name", [name for name in MODULES if room(name) == "reports"])
    def test_reports_need_no_torch(self, name: str) -> None:
        loaded = reached(name)
        assert {room(other) for other in loaded} <= {"", "reports"}
        assert {other for other in loaded if "torch" in packages(MODULES[other])} == set()


class TestPackage:
    @pytest.mark.parametrize("name", MODULES)
    def test_modules_are_small(self, name: str) -> None:
        assert len(MODULES[name].read_text().splitlines()) <= 320

    def test_some_packages_are_kept_to_one_file(self) -> None:
        for package, owners in RESERVED.items():
            assert {name for name, path in MODULES.items() if package in packages(path)} <= owners

    def test_no_device_is_named_in_the_model(self) -> None:
        model = [name for name in MODULES if room(name) == "model"]
        assert [name for name in model if "cuda" in MODULES[name].read_text()] == []

    def test_every_import_is_a_declared_dependency(self) -> None:
        modules = {"cv2": "opencv-python-headless", "PIL": "pillow", "skimage": "scikit-image", "yaml": "pyyaml"}
        declared = {canonicalize_name(Requirement(line).name) for line in PYPROJECT["project"]["dependencies"]}
        given = {"eqvi", "triton"}  # torch brings Triton where there is a GPU for it
        needed = set[str]().union(*map(packages, MODULES.values())) - given
        outside = {canonicalize_name(modules.get(name, name)) for name in needed - sys.stdlib_module_names}
        assert outside - declared == set()


class TestSecurity:
    def calls(self) -> Iterator[tuple[str, ast.Call]]:
        for name, path in MODULES.items():
            yield from ((name, node) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))

    def test_no_text_is_run(self) -> None:
        unsafe = {"eval", "exec", "os.system", "os.popen", "pickle.load", "pickle.loads", "yaml.unsafe_load"}
        for name, call in self.calls():
            assert ast.unparse(call.func) not in unsafe, name
            assert not [word for word in call.keywords if word.arg == "shell"], name

    def test_pickles_are_read_without_their_code(self) -> None:
        loads = [(name, call) for name, call in self.calls() if ast.unparse(call.func) == "torch.load"]
        assert loads
        for name, call in loads:
            options = {word.arg: ast.unparse(word.value) for word in call.keywords}
            assert options.get("weights_only") == "True", name
        assert all(
            "allow_pickle" not in {word.arg for word in call.keywords}
            for _, call in self.calls()
            if ast.unparse(call.func) == "np.load"
        )

    def test_jupyterlab_listens_on_this_machine_only_and_keeps_its_token(self) -> None:
        lab = MODULES["cli.lab"].read_text()
        assert "ip=127.0.0.1" in lab
        for text in (lab, MAKEFILE):
            assert not re.search(r"token|password|allow_origin|disable_check_xsrf|allow_remote_access", text)


class TestEnvironment:
    def lock(self) -> dict[str, Requirement]:
        lines = (ROOT / "requirements.lock").read_text().splitlines()
        requirements = [Requirement(line) for line in lines if not line.startswith("#")]
        return {canonicalize_name(requirement.name): requirement for requirement in requirements}

    def test_lock_pins_one_version_each(self) -> None:
        lock = self.lock()
        assert all(re.fullmatch(r"==[0-9][0-9a-z.]*", str(requirement.specifier)) for requirement in lock.values())
        assert str(lock["torch"]) == "torch==2.13.0"
        assert [name for name in lock if re.match(r"nvidia|cuda|triton", name)] == []

    def test_lock_is_within_what_the_package_asks_for(self) -> None:
        project, lock = PYPROJECT["project"], self.lock()
        for line in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
            wanted = Requirement(line)
            pinned = str(lock[canonicalize_name(wanted.name)].specifier).removeprefix("==")
            assert wanted.specifier.contains(pinned), line

    def test_conda_installs_the_same_lock(self) -> None:
        environment = yaml.safe_load((ROOT / "environment.yml").read_text())
        assert environment["name"] == "eqvi"
        *conda, pip = environment["dependencies"]
        assert conda == ["python=3.11", "pip", "make", "git"]
        assert pip == {"pip": ["-r requirements.lock", "-e ."]}

    def test_citation_is_of_this_version(self) -> None:
        citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
        assert citation["version"] == PYPROJECT["project"]["version"]
        assert citation["license"] == PYPROJECT["project"]["license"]
        assert len(citation["references"]) == 4

    def test_ci_runs_the_tests_as_the_readme_says(self) -> None:
        script = ROOT / ".ci" / "run"
        assert os.access(script, os.X_OK)
        assert {"make check </dev/null", "make test </dev/null"} <= set(script.read_text().splitlines())


class TestCommands:
    def test_help_is_the_default_and_explains_every_target(self) -> None:
        assert TARGETS[0] == "help"
        phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
        assert phony is not None
        assert set(TARGETS) == set(phony[1].split())

    def test_documents_name_targets_that_exist(self) -> None:
        named = {path: set(re.findall(r"`make ([a-z]+)", path.read_text())) for path in readme.DOCUMENTS}
        assert {"reproduce", "lab"} <= named[ROOT / "README.md"]
        assert set().union(*named.values()) <= set(TARGETS)

    def test_readme_is_in_step(self) -> None:
        for path in readme.DOCUMENTS:
            assert readme.filled(path) == path.read_text()


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
class TestNotebooks:
    def cells(self, path: Path) -> list[nbformat.NotebookNode]:
        return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]

    def test_is_stripped_and_has_names_for_its_cells(self, path: Path) -> None:
        notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
        nbformat.validate(notebook)
        assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)  # the first that has cell ids
        assert notebook.metadata.keys() == {"kernelspec", "language_info"}
        kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
        assert notebook.metadata.kernelspec == kernel
        assert notebook.metadata.language_info == {"name": "python"}
        for cell in notebook.cells:
            assert cell.metadata.keys() <= {"tags"}
            assert cell.get("outputs", []) == []
            assert cell.get("execution_count") is None

    def test_cells_are_short_calls(self, path: Path) -> None:
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.For, ast.While, ast.Try)
        for cell in self.cells(path):
            # A recipe has more fields than that, each with its line.
            lines = [line for line in cell.source.splitlines() if not line.startswith(("from ", "import "))]
            assert len(lines) <= 15 or "parameters" in cell.metadata.get("tags", []), cell.source
            tree = ast.parse(cell.source)  # no magics and no shell commands either: papermill misses their failures
            assert [node for node in ast.walk(tree) if isinstance(node, kinds)] == [], cell.source

    def test_names_from_the_package_exist(self, path: Path) -> None:
        nodes = [node for cell in self.cells(path) for node in ast.walk(ast.parse(cell.source))]
        imports: dict[str, str] = {}  # name in the notebook -> full name
        for node in nodes:
            if isinstance(node, ast.Import):
                imports |= {alias.asname or alias.name: alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imports |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        own = {name: full for name, full in imports.items() if packages_of(full) == "eqvi"}
        for node in nodes:
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in own:
                own[f"{node.value.id}.{node.attr}"] = f"{own[node.value.id]}.{node.attr}"
        for full in own.values():
            pkgutil.resolve_name(full)

    def test_parameters_are_annotated_literals_with_a_comment(self, path: Path) -> None:
        cells = self.cells(path)
        tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
        assert tagged in ([], cells[:1])
        for cell in tagged:
            for statement in ast.parse(cell.source).body:
                assert isinstance(statement, ast.AnnAssign), cell.source
                assert statement.value is not None
                ast.literal_eval(statement.value)
                assert statement.end_lineno is not None
                assert "  # " in cell.source.splitlines()[statement.end_lineno - 1], cell.source

    def test_begins_with_its_title(self, path: Path) -> None:
        notebook = nbformat.read(path, as_version=4)
        assert notebook.cells[0].cell_type == "markdown"
        assert notebook.cells[0].source.startswith("# ")
