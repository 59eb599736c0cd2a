import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from argparse import ArgumentParser
from pathlib import Path
from types import SimpleNamespace

import nbformat
import papermill
import pytest
import zmq.asyncio

from eqvi import paths
from eqvi.cli import dependencies, headless, study
from eqvi.errors import InputError
from eqvi.files import alone


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project that the runner takes for its own."""
    for name in ("notebooks", "figures", "results"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(study, name.upper(), tmp_path / name)
    monkeypatch.setattr(study, "WEIGHTS", tmp_path / "results" / "weights")
    monkeypatch.setattr(dependencies, "RESULTS", tmp_path / "results")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_notebook(house: Path, name: str, *cells: str, parameters: str = "") -> Path:
    code = [nbformat.v4.new_code_cell(source, id=f"cell-{number}") for number, source in enumerate(cells)]
    if parameters:
        code.insert(0, nbformat.v4.new_code_cell(parameters, id="given", metadata={"tags": ["parameters"]}))
    prose = nbformat.v4.new_markdown_cell("# A notebook", id="prose")
    path = house / "notebooks" / f"{name}.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[prose, *code]), path)
    return path


def run(*arguments: str | Path) -> int:
    parser = ArgumentParser()
    study.add_arguments(parser)
    return study.run(parser.parse_args(["--jobs", "1", *map(str, arguments), "--out", "out"]))


def printed(path: Path) -> str:
    outputs = [output for cell in nbformat.read(path, as_version=4).cells for output in cell.get("outputs", [])]
    return "".join(output.text for output in outputs if output.output_type == "stream")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestExecution:
    def test_in_order_with_parameters_and_news(self, house: Path, capsys: pytest.CaptureFixture[str]) -> None:
        save = "import pathlib; pathlib.Path('../figures/02_a.png').write_text(str(size))"
        write_notebook(house, "02_second", save, parameters="size: int = 3  # pixels")
        write_notebook(house, "01_first", "print(scale)", parameters="scale: float = 1.5  # of the frame")
        write_notebook(house, "03_without", "print('no parameters')")
        (house / "quick").mkdir()
        (house / "quick" / "02_second.yaml").write_text("size: 4\n")
        (house / "quick" / "01_first.yaml").write_text("scale: 2\n")
        assert run("--params", "quick", "-p", "size", "5") == 0
        assert names(house / "out") == ["01_first.ipynb", "02_second.ipynb", "03_without.ipynb"]
        assert printed(house / "out" / "01_first.ipynb") == "2\n"
        assert (house / "figures" / "02_a.png").read_text() == "5"
        first, *done, summary, change, played = capsys.readouterr().out.splitlines()
        assert first.startswith("running 3 notebooks into out/")
        assert sorted(line.split()[1] for line in done) == ["01_first", "02_second", "03_without"]
        assert summary.startswith("3 notebooks executed in ")
        assert summary.endswith("1 figure or result file new or changed")
        assert change == "  figures/02_a.png"
        assert played.startswith("01_first, 02_second: not with the study's own parameters, so rows and figures went")

    def test_readers_of_results_wait_for_the_notebooks_that_run_side_by_side(self, house: Path) -> None:
        for name in ("01_first", "02_second"):
            write_notebook(house, name, f"open('../results/{name}.csv', 'w').write('3')")
        write_notebook(house, "20_table", "import os; print(sorted(os.listdir('../results')))")
        assert run("--jobs", "2") == 0
        assert printed(house / "out" / "20_table.ipynb") == "['01_first.csv', '02_second.csv']\n"

    def test_only_what_changed_runs_again(self, house: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write_notebook(house, "01_first", "print(size)", parameters="size: int = 3  # pixels")
        write_notebook(house, "02_second", "print('as before')")
        write_notebook(house, "20_table", "print('rows')")
        for options, expected in (
            ((), ["01_first", "02_second", "20_table"]),
            ((), []),
            (("-p", "size", "4"), ["01_first"]),
        ):
            assert run("--changed", *options) == 0
            assert [line.split()[1] for line in capsys.readouterr().out.splitlines() if "[" in line] == expected
        (house / "results" / "new.csv").write_text("psnr\n30\n")
        write_notebook(house, "02_second", "from eqvi import errors")
        assert run("--changed", "-p", "size", "4") == 0
        assert [line.split()[1] for line in capsys.readouterr().out.splitlines() if "[" in line] == [
            "02_second",
            "20_table",
        ]

    def test_is_the_same_to_the_byte(self, house: Path) -> None:
        path = write_notebook(
            house,
            "01_{lively} name",  # papermill formats paths
            "import sys\nfor word in 'abcdef':\n    print(word, flush=True); print(word, file=sys.stderr, flush=True)",
            "from ipywidgets import interact\ninteract(lambda t: print(t), t=(0, 1.0));",
            "print({'a', 'b', 'c', 'd'})",
            "import matplotlib.pyplot as plt\nplt.plot([1, size]);",
            parameters="size: int = 3  # anything",
        )
        assert run(path, "-p", "size", "4") == 0
        once = (house / "out" / path.name).read_bytes()
        assert run(path, "-p", "size", "4") == 0
        assert (house / "out" / path.name).read_bytes() == once
        content = json.loads(once)
        assert content["metadata"].keys() == {"kernelspec", "language_info"}
        assert [cell["id"] for cell in content["cells"][:4]] == ["prose", "given", "injected-parameters", "cell-0"]
        assert any("image/png" in output.get("data", {}) for output in content["cells"][-1]["outputs"])

    def test_kernel_is_the_running_python(self, house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Another environment's kernel of the same name, and start-up files of the user, take no part."""
        decoy = house / "jupyter" / "kernels" / "python3"
        decoy.mkdir(parents=True)
        kernel = {"argv": ["/bin/false"], "display_name": "another", "language": "python"}
        (decoy / "kernel.json").write_text(json.dumps(kernel))
        startup = house / "ipython" / "profile_default" / "startup"
        startup.mkdir(parents=True)
        (startup / "greet.py").write_text("print('here I am')")
        monkeypatch.setenv("JUPYTER_PATH", str(house / "jupyter"))
        monkeypatch.setenv("IPYTHONDIR", str(house / "ipython"))
        path = write_notebook(house, "01_where", "import os, sys\nprint(sys.executable)\nprint(os.getcwd())")
        assert run(path) == 0
        assert printed(house / "out" / path.name).splitlines() == [sys.executable, str(house / "notebooks")]


def test_client_wakes_who_waits_for_an_unread_reply() -> None:
    """The moment that keeps nbclient waiting for ever, made on purpose: see `headless.WatchfulClient`."""

    async def wait() -> list[bool]:
        with (
            zmq.asyncio.Context() as context,
            context.socket(zmq.PAIR) as ours,
            zmq.Context.shadow(context).socket(zmq.PAIR) as kernels,
        ):
            ours.bind("inproc://shell")
            kernels.connect("inproc://shell")
            waiting = asyncio.ensure_future(ours.poll(None))
            await asyncio.sleep(0.1)
            kernels.send(b"reply")
            zmq.Socket.shadow(ours).get(zmq.EVENTS)  # as any send on this socket does
            await asyncio.sleep(0.2)
            done = [waiting.done()]
            client = headless.WatchfulClient()
            client._shell_channel = SimpleNamespace(socket=ours)
            assert await client.is_alive()
            await asyncio.sleep(0)
            return [*done, waiting.done()]

    assert asyncio.run(wait()) == [False, True]


class TestFailure:
    @pytest.mark.parametrize(
        ("cell", "line"),
        [
            ("raise ValueError('too large\\nby far')", "cell [2] failed: ValueError: too large"),
            ("import os\nos.kill(os.getpid(), 9)", "cell [2] failed: DeadKernelError: Kernel died"),
            ("import sys\nsys.exit(0)", "cell [2] failed: SystemExit: the notebook left before its end"),
            ("import time\ntime.sleep(60)", "cell [2] failed: CellTimeoutError: A cell timed out"),
        ],
        ids=["raises", "killed", "leaves", "hangs"],
    )
    def test_is_told_and_replaces_nothing(
        self, house: Path, capsys: pytest.CaptureFixture[str], cell: str, line: str
    ) -> None:
        (house / "out").mkdir()
        (house / "out" / "01_changed.ipynb").write_text("an older result")
        write_notebook(house, "01_changed", "print('so far')", cell, "print('never')")
        write_notebook(house, "02_next", "print('not reached')")
        assert run("--timeout", "4") == 1
        assert (house / "out" / "01_changed.ipynb").read_text() == "an older result"
        assert names(house / "out") == ["01_changed.failed.ipynb", "01_changed.ipynb"]
        assert printed(house / "out" / "01_changed.failed.ipynb").startswith("so far\n")
        lines = capsys.readouterr().out.splitlines()[-2:]
        assert lines[0].startswith(f"  [1/2] 01_changed.ipynb: {line}")
        assert lines[1] == "stopped there: 1 notebook not run"

    def test_copy_goes_with_the_next_success(self, house: Path) -> None:
        (house / "out").mkdir()
        (house / "out" / "01_mended.failed.ipynb").write_text("a failure")
        write_notebook(house, "01_mended", "print('fine')")
        assert run() == 0
        assert names(house / "out") == ["01_mended.ipynb"]


class TestBadInput:
    def refused(self, capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
        with pytest.raises(InputError) as caught:
            run(*arguments)
        assert capsys.readouterr().out == ""
        assert not os.path.exists("out")
        assert "\n" not in str(caught.value)
        return str(caught.value)

    @pytest.fixture(autouse=True)
    def _notebooks(self, house: Path) -> None:
        write_notebook(house, "01_first", "1", parameters="size: int = 3  # pixels\nname: str = 'x'  # of a clip")
        write_notebook(house, "02_second", "1", parameters="rate: float = 1.5  # frames a second")

    @pytest.mark.parametrize(
        ("yaml", "message"),
        [
            ("siez: 4", "none of the chosen notebooks has a parameter 'siez': did you mean 'size'?"),
            ("01_first: {size: 4}", "none of the chosen notebooks has a parameter '01_first': choose from name, rate"),
            ("size: 4.5", "parameter size=4.5 must be of type int, as its default 3"),
            ("rate: 1e-4", "(YAML reads 1e-4 as text: write 1.0e-4)"),
            ("[size, 4]", "quick.yaml: write 'PARAMETER: VALUE', a line for each"),
            ("{size", "quick.yaml is not valid YAML"),
        ],
    )
    def test_parameter_file(self, capsys: pytest.CaptureFixture[str], house: Path, yaml: str, message: str) -> None:
        (house / "quick.yaml").write_text(yaml)
        assert message in self.refused(capsys, "--params", "quick.yaml")

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("01_fist", "01_fist.yaml: there is no notebook '01_fist': did you mean '01_first'?"),
            ("02_second", "02_second has no parameter 'size': choose from rate"),
            (None, "quick: holds no NOTEBOOK.yaml: name a file or folder of parameters"),
        ],
    )
    def test_parameter_folder(
        self, capsys: pytest.CaptureFixture[str], house: Path, name: str | None, message: str
    ) -> None:
        (house / "quick").mkdir()
        if name:
            (house / "quick" / f"{name}.yaml").write_text("size: 4\n")
        assert message in self.refused(capsys, "--params", "quick")

    def test_missing_parameter_file(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert "quick.yaml: No such file" in self.refused(capsys, "--params", "quick.yaml")

    def test_parameter_on_the_command_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        message = "none of the chosen notebooks has a parameter 'rat': choose from name, size"
        assert self.refused(capsys, "01_first", "-p", "rat", "2") == message
        assert "size='x' must be of type int" in self.refused(capsys, "01_first", "-p", "size", "x")
        assert "has a parameter '02_other.size'" in self.refused(capsys, "01_first", "-p", "02_other.size", "2")

    def test_notebook(self, capsys: pytest.CaptureFixture[str], house: Path) -> None:
        message = "notebook '01_frist' does not exist: did you mean '01_first'?"
        assert self.refused(capsys, "01_frist") == message
        for text in ("not JSON", "{}", '{"cells": []}', '{"cells": [], "metadata": {}, "nbformat": 4}'):
            (house / "notebooks" / "03_text.ipynb").write_text(text)
            assert "03_text.ipynb is not a Jupyter notebook" in self.refused(capsys, "03_text")

    def test_out_is_a_file(self, house: Path) -> None:
        (house / "out").write_text("in the way")
        with pytest.raises(
            InputError, match=r"out/01_first.ipynb: cannot be written: .*; choose a place that is writable"
        ):
            run("01_first")


def test_shared_parameters_may_belong_to_notebooks_that_were_not_chosen(house: Path) -> None:
    write_notebook(house, "01_first", "1", parameters="size: int = 3  # pixels")
    write_notebook(house, "02_second", "1", parameters="rate: float = 1.5  # frames a second")
    first = house / "notebooks" / "01_first.ipynb"
    shared = {"01_first": {"size": 8}, "02_second": {"rate": 1.0}}
    assert study.assign(shared, [], {first: headless.parameters_of(first)}) == {first: {"size": 8}}


def test_a_text_parameter_stays_text(house: Path) -> None:
    path = write_notebook(house, "01_first", "1", parameters="clip: str = 'a'  # name\nclips: list[str] = []  # names")
    given = study.assign({}, [("clip", "007"), ("clips", "['a', 'b']")], {path: headless.parameters_of(path)})
    assert given == {path: {"clip": "007", "clips": ["a", "b"]}}


def test_a_parameter_for_one_notebook_alone(house: Path) -> None:
    paths = [write_notebook(house, name, "1", parameters="size: int = 3  # pixels") for name in ("01_one", "02_two")]
    declared = {path: headless.parameters_of(path) for path in paths}
    assert study.assign({}, [("01_one.size", "5")], declared) == {paths[0]: {"size": 5}, paths[1]: {}}


class TestWhatIsReplaced:
    """Figures and rows that are committed are replaced by the study's own parameters alone."""

    @pytest.mark.parametrize(
        ("values", "file", "replaced"),
        [
            ({}, None, ["figures", "results"]),
            ({"clips": 2}, None, []),
            ({"clips": 8, "data": "/elsewhere", "device": "cuda"}, None, ["figures", "results"]),
            ({"clips": 2}, "quick", ["figures", "results"]),
            ({"clips": 2}, "linear.yaml", ["results"]),
            ({"clips": 3}, "linear.yaml", []),
            ({"clips": 2}, "/elsewhere/linear.yaml", []),
        ],
    )
    def test_by_parameters(self, values: dict[str, object], file: str | None, replaced: list[str]) -> None:
        defaults = {"clips": "8", "data": "''", "device": "'cpu'"}
        given = {"clips": 2} if file else {}
        assert study.replaced_by(values, given, defaults, file and paths.PARAMS / file) == replaced

    def test_footage_of_ones_own_leaves_the_study_s_rows(self) -> None:
        file = paths.PARAMS / "footage_x2.yaml"
        given = study.read_yaml(file)
        defaults = headless.parameters_of(paths.NOTEBOOKS / "10_evaluate.ipynb")
        assert study.replaced_by(given, given, defaults, file) == ["results"]
        assert study.replaced_by(given | {"footage": "/holiday"}, given, defaults, file) == []

    def test_of_a_kernel_that_the_study_did_not_start_nothing(
        self, house: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv(paths.REPLACES, raising=False)
        monkeypatch.setattr(paths, "PLAY", house / "play")
        folders = [paths.writable(folder) for folder in (paths.RESULTS, paths.FIGURES)]
        assert folders == [house / "play" / "results", house / "play" / "figures"]
        assert all(folder.is_dir() for folder in folders)
        (house / "file").touch()
        monkeypatch.setattr(paths, "PLAY", house / "file")
        with pytest.raises(InputError, match="file/results: cannot be made: Not a directory"):
            paths.writable(paths.RESULTS)
        source = write_notebook(house, "01_where", "from eqvi.paths import *\nprint(writable(RESULTS) == RESULTS)")
        for replaces, printed_word in ((["results"], "True\n"), ([], "False\n")):
            headless.execute(source, house / "out.ipynb", {}, replaces=replaces)
            assert printed(house / "out.ipynb") == printed_word


#: All but the tables of several runs, which commands read, and no notebook.
PARAMETER_FILES = sorted(file for file in paths.PARAMS.rglob("*.yaml") if "rows" not in study.read_yaml(file))


@pytest.mark.parametrize("file", PARAMETER_FILES, ids=lambda path: path.relative_to(paths.PARAMS).with_suffix("").name)
def test_papermill_reads_the_parameter_file(file: Path) -> None:
    """As ``papermill -f`` does: names of the notebook alone, and a cell that Python reads."""
    name = file.stem if file.parent == study.QUICK else "13_train"
    name = "10_evaluate" if "methods" in study.read_yaml(file) else name
    notebook = papermill.iorw.load_notebook_node(str(paths.NOTEBOOKS / f"{name}.ipynb"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        given = papermill.iorw.read_yaml_file(str(file))
        injected = papermill.parameterize.parameterize_notebook(notebook, given)
    assert given.keys() <= headless.parameters_of(paths.NOTEBOOKS / f"{name}.ipynb").keys()
    cell = next(cell for cell in injected.cells if "injected-parameters" in cell.metadata.get("tags", []))
    values: dict[str, object] = {}
    exec(cell.source, values)
    assert given.items() <= values.items()


class TestSurroundings:
    def test_a_copied_clone_imports_its_own_package(self, house: Path) -> None:
        (house / "eqvi").mkdir()
        (house / "eqvi" / "__init__.py").write_text("")
        (house / "eqvi" / "paths.py").write_text("")
        source = write_notebook(house, "01_whose", "import eqvi; print(eqvi.__file__)")
        headless.execute(source, house / "out.ipynb", {})
        assert printed(house / "out.ipynb").strip() == str(house / "eqvi" / "__init__.py")

    def test_the_package_of_another_clone_is_refused(self, house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        paths.check_folder()
        (house / "eqvi").mkdir()
        (house / "eqvi" / "paths.py").write_text("")
        for folder in (house, house / "notebooks"):
            monkeypatch.chdir(folder)
            with pytest.raises(InputError, match=f"this is {house}, but Python imports the package of {paths.ROOT}"):
                paths.check_folder()

    def test_a_long_temporary_folder_and_a_home_that_cannot_be_written_are_no_matter(
        self, house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = write_notebook(house, "01_figure", "import matplotlib.pyplot as plt\nprint(plt.get_backend())")
        long = tmp_path / ("x" * 100)
        long.mkdir()
        monkeypatch.setenv("TMPDIR", str(long))
        monkeypatch.setattr(tempfile, "tempdir", None)
        monkeypatch.setenv("HOME", "/proc/nowhere")
        headless.execute(source, house / "out.ipynb", {})
        assert printed(house / "out.ipynb") == "module://matplotlib_inline.backend_inline\n"  # and no warning

    def test_two_studies_into_one_folder_are_refused(self, house: Path) -> None:
        write_notebook(house, "01_first", "print(1)")
        with alone(Path("out"), 0), pytest.raises(InputError, match="out: another process writes it now"):
            run()
        assert not (house / "out").exists()

    def test_an_interrupted_study_ends_quietly(self, house: Path) -> None:
        for name in ("01_first", "02_second"):
            start = f"from pathlib import Path; Path('{name}.started').touch(); import time; time.sleep(60)"
            write_notebook(house, name, start)
        sources = [str(house / "notebooks" / f"{name}.ipynb") for name in ("01_first", "02_second")]
        process = subprocess.Popen(
            [sys.executable, "-m", "eqvi", "study", *sources, "--jobs", "2", "--out", str(house / "out")],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
            env=os.environ | {"PYTHONPATH": str(paths.ROOT)},
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while len(list((house / "notebooks").glob("*.started"))) < 1 and time.monotonic() < deadline:
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)  # Ctrl-C goes to all processes of a terminal
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "Traceback" not in output
        assert output.strip().endswith("eqvi: interrupted")
