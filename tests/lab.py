"""JupyterLab on this machine and a headless Chromium, to test a notebook as its readers see it."""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NO_BROWSER = "no Chromium on this machine: install one (Debian: apt-get install chromium) to run this test"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
]  # fmt: skip
#: Milliseconds: two busy cores are slow.
PATIENCE = 240_000


@contextmanager
def lab(root: Path, package: Path, theme: str = "JupyterLab Light") -> Iterator[str]:
    """A JupyterLab on the folder `root` whose kernels import the package from `package`; its address, with token."""
    state = root / ".lab"
    settings = state / "settings"
    settings.mkdir(parents=True)
    overrides = {
        "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
        "@jupyterlab/apputils-extension:themes": {"theme": theme},
        # Else cells out of sight are taken out of the page at unpredictable moments.
        "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
    }
    (settings / "overrides.json").write_text(json.dumps(overrides))
    token = secrets.token_hex(16)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "PYTHONPATH": str(package), "JUPYTER_CONFIG_DIR": str(state), "JUPYTER_DATA_DIR": str(state / "data"),
        "JUPYTER_RUNTIME_DIR": str(state / "runtime"), "IPYTHONDIR": str(state / "ipython"), "JUPYTER_TOKEN": token,
    }  # fmt: skip
    command = [
        sys.executable, "-m", "jupyterlab", str(root), "--no-browser", "--ip=127.0.0.1", f"--port={port}",
        "--ServerApp.port_retries=0", "--allow-root", "--LabApp.expose_app_in_browser=True",
        "--LabApp.extension_manager=readonly", f"--LabApp.app_settings_dir={settings}",
        f"--LabApp.user_settings_dir={state / 'user'}", f"--LabApp.workspaces_dir={state / 'workspaces'}",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--LabApp.news_url=None",
    ]  # fmt: skip
    log = state / "log"
    with log.open("w") as file:
        server = subprocess.Popen(command, stdout=file, stderr=file, env=environment, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        _answers(server, f"{address}/api/status?token={token}", log)
        yield f"{address}/lab/tree/{{}}?token={token}"
    finally:
        # Kernels have process groups of their own: the server ends them when it is terminated.
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _answers(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    raise AssertionError(f"JupyterLab did not start: {log.read_text()}")


@contextmanager
def browser(width: int = 1400, height: int = 1000, dark: bool = False) -> Iterator[Any]:
    """A page of a headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            scheme = "dark" if dark else "light"
            context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
            page = context.new_page()
            page.set_default_timeout(PATIENCE)
            yield page
        finally:
            chromium.close()


def run_all(page: Any, address: str) -> None:
    """Open a notebook and run its cells."""
    page.goto(address)
    page.wait_for_function(
        """() => {
          const context = window.jupyterapp?.shell?.currentWidget?.context?.sessionContext;
          return context?.isReady && context.session?.kernel?.status === "idle";
        }"""
    )
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells') }")


def errors(page: Any) -> list[str]:
    """The texts of outputs that are errors."""
    kinds = "[data-mime-type='application/vnd.jupyter.error'], [data-mime-type='application/vnd.jupyter.stderr']"
    return (
        page.locator(".jp-OutputArea-output").locator(kinds).all_inner_texts()
        + page.locator(f".jp-OutputArea-output:is({kinds})").all_inner_texts()
    )


#: JavaScript: a number that changes with what an <img> shows.
SEEN = """image => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [64, 36];
  const pen = canvas.getContext("2d");
  pen.drawImage(image, 0, 0, 64, 36);
  return pen.getImageData(0, 0, 64, 36).data.reduce((sum, value, i) => (sum * 31 + value + i) % 2147483647, 7);
}"""
