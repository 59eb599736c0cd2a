"""Checkpoints: published formats load strictly, ours round-trip, anything else is refused in one line."""

import dataclasses
import errno
import pickle
import warnings
from pathlib import Path

import pytest
import torch
from published import KINDS, flow_state_dict, state_dict, write_checkpoint

import eqvi
from eqvi import EQVI, EQVIConfig, InputError
from eqvi.model import checkpoint
from eqvi.model.config import PRESETS
from eqvi.model.scopeflow import ScopeFlow

NARROW = EQVIConfig(flow_width=0.125, refine_width=0.125, synthesis_width=0.125, context_channels=4)


def bare(state):
    return {name.removeprefix("module."): value for name, value in state.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_published_checkpoint_loads_and_exports_to_the_same_tensors(kind, tmp_path):
    published = state_dict(kind)
    model = eqvi.load(write_checkpoint(tmp_path / "published.ckpt", published))
    assert model.config == PRESETS["eqvi-ms" if kind == "eqvi_ms_fusion" else "eqvi"]
    assert not model.training
    exported = checkpoint.to_published(model)
    assert exported.keys() == bare(published).keys()
    assert all(torch.equal(exported[name], value) for name, value in bare(published).items())


def test_the_exported_file_is_in_the_published_format(tmp_path):
    path = tmp_path / "export.ckpt"
    model = EQVI(NARROW)
    checkpoint.export_published(model, path)
    assert path.read_bytes()[:2] != b"PK", "PyTorch 1.2 cannot read the zip format"
    again = eqvi.load(path)
    assert again.config == NARROW
    assert_same_tensors(again, model)


@pytest.mark.parametrize("prefix", ["_model.module.", "_model.", "module.", ""])
def test_flow_checkpoints_load(prefix, tmp_path):
    path = write_checkpoint(
        tmp_path / "flow.ckpt", flow_state_dict(prefix), key="state_dict", best_epe=torch.tensor(1.0)
    )
    flow = checkpoint.load_flow(path)
    expected = eqvi.load(write_checkpoint(tmp_path / "eqvi.ckpt", state_dict("eqvi"))).flow
    assert_same_tensors(flow, expected)


@pytest.mark.parametrize("config", [NARROW, dataclasses.replace(NARROW, multi_scale=True, motion="quadratic")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_own_format_round_trips(config, dtype, tmp_path):
    model = EQVI(config)
    path = tmp_path / "own.safetensors"
    checkpoint.save(model, path, dtype)
    again = eqvi.load(path)
    assert again.config == config
    assert all(p.dtype == torch.float32 for p in again.parameters())
    assert_same_tensors(again, model.to(dtype).float())
    assert list(tmp_path.iterdir()) == [path], "nothing is left beside the file"


@pytest.mark.parametrize("scalings", [2, 1])
def test_own_flow_format_round_trips(tmp_path, scalings):
    flow = ScopeFlow(0.25, scalings)
    checkpoint.save(flow, tmp_path / "flow.safetensors")
    again = checkpoint.load_flow(tmp_path / "flow.safetensors")
    assert_same_tensors(again, flow)
    assert again.scalings == scalings


def test_a_flow_that_scales_once_has_no_published_form(tmp_path):
    with pytest.raises(InputError, match="scales once has no published form"):
        checkpoint.export_published_flow(ScopeFlow(0.125, 1), tmp_path / "x.ckpt")
    with pytest.raises(InputError, match="scales once has no published form"):
        checkpoint.to_published(EQVI(dataclasses.replace(NARROW, flow_scalings=1)))


def test_the_motion_model_can_be_chosen(tmp_path):
    checkpoint.save(EQVI(NARROW), tmp_path / "own.safetensors")
    assert eqvi.load(tmp_path / "own.safetensors", motion="linear").config.motion == "linear"


def assert_same_tensors(ours, theirs):
    ours, theirs = ours.state_dict(), theirs.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def published_narrow(**changes):
    """A small checkpoint in published names, with some tensors replaced (None: left out)."""
    state = {f"module.{name}": value for name, value in checkpoint.to_published(EQVI(NARROW)).items()} | changes
    return {name: value for name, value in state.items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"module.masknet.conv1.bias": None}, "lacks 1 of the model's tensors, first mask.layers.0.bias"),
        ({"module.masknet.conv9.bias": torch.zeros(1)}, "'masknet.conv9.bias' belongs to no part of EQVI"),
        ({"module.masknet.conv1.bias": torch.zeros(9)}, r"mask.layers.0.bias has shape \(9,\), the model's is \(4,\)"),
        ({"module.get_grad.weight_h": torch.ones(1, 1, 3, 3)}, "get_grad.weight_h is not the constant gradient kernel"),
        ({"module.acc.flownet.conv_1x1_1.0.bias": torch.ones(3)}, "acc.flownet.conv_1x1_1.0.bias differs from flownet"),
        ({"module.refinenet.conv1.weight": None}, "not an EQVI checkpoint: it holds nothing for refinement"),
    ],
)
def test_every_tensor_is_accounted_for(changes, message, tmp_path):
    path = write_checkpoint(tmp_path / "wrong.ckpt", published_narrow(**changes))
    with pytest.raises(InputError, match=message) as caught:
        eqvi.load(path)
    assert_one_line(caught.value, path)


def assert_one_line(error, path):
    assert str(error).startswith(f"{path}: ")
    assert "\n" not in str(error)


def damaged(tmp_path, suffix, keep):
    """A checkpoint of which only the first part is left."""
    path = tmp_path / f"cut{suffix}"
    if suffix == ".safetensors":
        checkpoint.save(EQVI(NARROW), path)
    else:
        write_checkpoint(path, published_narrow())
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    return path


@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
@pytest.mark.parametrize("keep", [0, 0.001, 0.5, 0.99])
def test_a_truncated_checkpoint_is_refused(suffix, keep, tmp_path):
    path = damaged(tmp_path, suffix, keep)
    with pytest.raises(InputError, match="not a readable") as caught:
        eqvi.load(path)
    assert_one_line(caught.value, path)


class Mischief:
    def __reduce__(self):
        return (Path.touch, (Path("mischief-done"),))


def test_unsafe_pickles_are_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "unsafe.ckpt"
    torch.save({"model_state_dict": {}, "Detail": Mischief()}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(InputError, match="which is not allowed in a checkpoint") as caught:
        eqvi.load(path)
    assert_one_line(caught.value, path)
    assert not (tmp_path / "mischief-done").exists()


@pytest.mark.parametrize("content", [b"hello", pickle.dumps([1, 2, 3]), pickle.dumps({"a": 1})])
def test_files_that_are_no_checkpoint_are_refused(content, tmp_path):
    path = tmp_path / "file.ckpt"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        eqvi.load(path)
    assert_one_line(caught.value, path)


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    other = {f"module.{name}": value for name, value in torch.nn.Linear(2, 2).state_dict().items()}
    for key in ("state_dict", "model_state_dict"):
        path = write_checkpoint(tmp_path / "other.ckpt", other, key=key)
        with pytest.raises(InputError, match="'weight' belongs to no part of EQVI: a checkpoint of another model"):
            eqvi.load(path)
        with pytest.raises(InputError, match="not a flow network's checkpoint"):
            checkpoint.load_flow(path)


def test_flow_and_model_checkpoints_are_told_apart(tmp_path):
    path = write_checkpoint(tmp_path / "flow.ckpt", flow_state_dict(), key="state_dict")
    with pytest.raises(InputError, match=r"use eqvi\.model\.checkpoint\.load_flow"):
        eqvi.load(path)
    checkpoint.save(ScopeFlow(0.125), tmp_path / "flow.safetensors")
    with pytest.raises(InputError, match=r"use eqvi\.model\.checkpoint\.load_flow"):
        eqvi.load(tmp_path / "flow.safetensors")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="there is no such checkpoint: train or fetch it"):
        eqvi.load(tmp_path / "nothing.ckpt")


def test_a_full_disk_leaves_the_last_good_file(tmp_path, monkeypatch):
    path = tmp_path / "own.safetensors"
    checkpoint.save(EQVI(NARROW), path)
    before = path.read_bytes()

    def full(partial: Path, content: bytes) -> None:
        partial.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match="cannot be written: the disk is full"):
        checkpoint.save(EQVI(NARROW), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_weight_free_model_has_no_published_form():
    with pytest.raises(InputError, match="no published form"):
        checkpoint.to_published(EQVI(PRESETS["baseline"]))


def test_loading_warns_of_nothing(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        eqvi.load(write_checkpoint(tmp_path / "published.ckpt", published_narrow()))
