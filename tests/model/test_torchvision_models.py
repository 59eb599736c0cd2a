"""torchvision's networks: built without values, their weights fetched with their hash checked, imported when needed."""

import gc
import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from server import Server, serving

from eqvi.errors import InputError
from eqvi.model.raft import NETWORKS
from eqvi.model.torchvision_models import ALEXNET, RESNET18, VGG16, build, download, import_models, read_weights

CONTENT = b"what is up, doc?"
#: VGG-16 as if its weights were `CONTENT`.
NETWORK = VGG16._replace(file=f"vgg16-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server in the place of torchvision's, and a folder of torch.hub's own."""
    fetch = torch.hub.download_url_to_file
    with serving() as state:

        def fetch_here(url: str, *arguments: Any) -> None:
            fetch(url.replace("https://download.pytorch.org", state.address), *arguments)

        monkeypatch.setattr(torch.hub, "download_url_to_file", fetch_here)
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        state.content_type = "application/octet-stream"
        yield state
        gc.collect()  # while the class still ignores what torch.hub leaves open


@pytest.mark.parametrize("network", [VGG16, ALEXNET, RESNET18, *NETWORKS.values()])
def test_a_network_is_built_without_values_and_without_random_numbers(network: Any) -> None:
    before = torch.random.get_rng_state()
    assert {parameter.device.type for parameter in build(network).parameters()} == {"meta"}
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # torch.hub leaves its connection to the garbage collector
class TestDownload:
    def test_once_from_where_torchvision_keeps_it(self, server: Server, tmp_path: Path) -> None:
        server.files["/models/vgg16-397923af.pth"] = CONTENT
        path = download(NETWORK)
        assert path == tmp_path / "hub" / "checkpoints" / NETWORK.file
        assert path.read_bytes() == CONTENT
        assert download(NETWORK) == path
        assert len(server.asked) == 1

    def test_another_content_is_refused(self, server: Server, tmp_path: Path) -> None:
        server.files["/models/vgg16-397923af.pth"] = CONTENT + b"?"
        with pytest.raises(InputError, match=r"^https://download.pytorch.org/models/.*: cannot be downloaded \(.*hash"):
            download(NETWORK)
        assert list((tmp_path / "hub" / "checkpoints").iterdir()) == []

    def test_a_server_that_does_not_answer(self, server: Server) -> None:
        server.status = 503
        with pytest.raises(InputError, match=r"503.*`python -m eqvi download weights vgg` fetches") as caught:
            download(NETWORK)
        assert "\n" not in str(caught.value)


def test_a_file_under_the_published_name_is_held_to_its_hash(tmp_path: Path) -> None:
    path = tmp_path / NETWORK.file
    path.write_bytes(CONTENT)
    with pytest.raises(InputError, match="cannot be read"):
        read_weights(NETWORK, path)
    path.write_bytes(b"other")
    with pytest.raises(InputError, match=f"is damaged: its sha256 begins d9298a10, not {NETWORK.sha256}"):
        read_weights(NETWORK, path)


def test_torchvision_is_not_imported_with_the_package() -> None:
    modules = "eqvi, eqvi.training.trainer, eqvi.evaluation.measure"
    code = f"import sys, {modules}; sys.exit('torchvision' in sys.modules or 'lpips' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_missing_torchvision_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(InputError, match="`pip install torchvision`"):
        import_models()
