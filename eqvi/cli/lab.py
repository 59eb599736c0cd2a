"""The command ``python -m eqvi lab``: JupyterLab on the study, on this machine only.

It opens on the notebook ``00_start``. What is saved of a notebook goes to ``build/lab``, see `eqvi.cli.lab_files`.
"""

import argparse
import json
import os
import shlex
import sys

from eqvi.files import replacing
from eqvi.paths import BUILD, NOTEBOOKS, REPLACES, ROOT, shown

#: Where notebooks are saved that JupyterLab has opened.
SAVED = BUILD / "lab"
#: Of the user's settings those that this study gives another default; a user's own choice is stronger.
SETTINGS = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``python -m eqvi lab``."""
    help = "options of JupyterLab itself, as in --options='--no-browser --port=8890'"
    parser.add_argument("--options", type=shlex.split, default=[], metavar="TEXT", help=help)


def run(args: argparse.Namespace) -> int:
    """Become JupyterLab."""
    print(f"notebooks are opened from {shown(NOTEBOOKS)}/ and saved in {shown(SAVED)}/", flush=True)
    os.environ.pop(REPLACES, None)
    os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", *options(), *args.options])


def options() -> list[str]:
    """The options of JupyterLab; its settings are written to a file first.

    Raises:
        InputError: that file cannot be written.
    """
    settings = SAVED / "settings"
    settings.mkdir(parents=True, exist_ok=True)
    with replacing(settings / "overrides.json") as partial:
        partial.write_text(json.dumps(SETTINGS, indent=1) + "\n", encoding="utf-8")
    return [
        f"--ServerApp.root_dir={ROOT}",
        f"--ServerApp.preferred_dir={NOTEBOOKS}",
        "--ServerApp.contents_manager_class=eqvi.cli.lab_files.SavedAside",
        "--ServerApp.ip=127.0.0.1",
        f"--LabApp.default_url=/lab/tree/{NOTEBOOKS.name}/00_start.ipynb",
        f"--LabApp.app_settings_dir={settings}",
        "--LabApp.extension_manager=readonly",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.news_url=None",
    ]
