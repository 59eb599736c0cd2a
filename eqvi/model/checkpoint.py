"""Checkpoints: the published formats and our own. The only file that knows published tensor names.

Published EQVI (one or two scales), ScopeFlow and IRR-PWC checkpoints are pickles in PyTorch's pre-1.6 format; ours are
safetensors with the configuration inside. Loading is strict: every tensor of the file and of the model is accounted
for, or the file is refused. Nothing but tensors, plain values and dates is ever unpickled.
"""

import dataclasses
import datetime
import functools
import json
import os
import pickle
import re
import warnings
from _codecs import encode as _codecs_encode
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_to_bytes
from torch import Tensor, nn

from eqvi.errors import InputError
from eqvi.files import parse_json, reason, replacing
from eqvi.model.config import EQVIConfig, MotionKind
from eqvi.model.eqvi import EQVI
from eqvi.model.scopeflow import ScopeFlow

#: Allowed in published pickles besides tensors and plain values: a date, and how protocol 2 writes its bytes.
_ALLOWED: list[Any] = [datetime.datetime, _codecs_encode]

_Tensors = dict[str, Tensor]
_Network = TypeVar("_Network", bound=nn.Module)

# The key of the metadata in our own files: name and version of the format.
_FORMAT = "eqvi 1"


def load(path: str | os.PathLike, motion: MotionKind | None = None) -> EQVI:
    """An EQVI in evaluation mode from a published or own checkpoint, on the CPU in float32.

    Args:
        path: an own ``.safetensors``, or a published EQVI checkpoint; its widths are read off the tensors.
        motion: the motion model, which no tensor determines; by default the one recorded in our own file, or RQFP.

    Raises:
        InputError: the file is missing, damaged, of another model, or holds a tensor too many or too few.
    """
    path = Path(path)
    tensors, metadata = _read(path)
    if "config" in metadata:
        config, own = _own_config(path, metadata["config"]), tensors
    elif "flow" in metadata or _is_flow(tensors):
        raise InputError(f"{path}: a flow network's checkpoint, not EQVI's: use eqvi.model.checkpoint.load_flow")
    else:
        config, own = _from_published(path, tensors)
    if motion is not None:
        config = dataclasses.replace(config, motion=motion)
    return _built(lambda: EQVI(config), own, path).eval()


def load_flow(path: str | os.PathLike) -> ScopeFlow:
    """A ScopeFlow in evaluation mode from a ScopeFlow, IRR-PWC or own flow checkpoint, on the CPU in float32.

    Raises:
        InputError: as `load`.
    """
    path = Path(path)
    tensors, metadata = _read(path)
    scalings = 2
    if "flow" in metadata:
        own = tensors
        try:
            width, scalings = float(metadata["flow"]["width"]), int(metadata["flow"].get("scalings", scalings))
        except (KeyError, ValueError, TypeError, AttributeError):
            raise InputError(f"{path}: does not say how wide its flow network is: save it again") from None
    elif _is_flow(tensors):
        tensors = {re.sub(r"^(_model\.)?(module\.)*", "", name): value for name, value in tensors.items()}
        own = _rename(path, {f"flownet.{name}": value for name, value in tensors.items()})
        own = {name.removeprefix("flow."): value for name, value in own.items()}
        width = _width(path, own, "pyramid.levels.0.0.weight", 16)
    else:
        raise InputError(f"{path}: not a flow network's checkpoint: for a whole EQVI use eqvi.load")
    return _built(lambda: ScopeFlow(width, scalings), own, path).eval()


def save(model: EQVI | ScopeFlow, path: str | os.PathLike, dtype: torch.dtype = torch.float32) -> None:
    """Write a model as safetensors with its configuration inside; `dtype` float16 halves the file."""
    if isinstance(model, EQVI):
        metadata: dict[str, Any] = {"config": dataclasses.asdict(model.config)}
    else:
        width = model.state_dict()["pyramid.levels.0.0.weight"].shape[0] / 16
        metadata = {"flow": {"width": width, "scalings": model.scalings}}
    tensors = {name: value.detach().to("cpu", dtype).contiguous() for name, value in model.state_dict().items()}
    # One entry, as safetensors writes several in any order: the same weights are the same bytes.
    with replacing(Path(path)) as partial:
        partial.write_bytes(save_to_bytes(tensors, {_FORMAT: json.dumps(metadata)}))


def export_published(model: EQVI, path: str | os.PathLike, detail: str = "exported by eqvi") -> None:
    """Write `model` under the published tensor names, in the published file format."""
    state = {f"module.{name}": value for name, value in to_published(model).items()}
    _export(path, {"Detail": detail, "epoch": 0, "model_state_dict": state})


def export_published_flow(flow: ScopeFlow, path: str | os.PathLike) -> None:
    """Write a flow network under ScopeFlow's tensor names, in the published file format.

    Raises:
        InputError: a network that does not scale twice has no published form.
    """
    if flow.scalings != 2:
        raise InputError("a flow network that scales once has no published form")
    names = {own: published for published, own in _modules().items()}
    state = {}
    for own, value in flow.state_dict().items():
        module, _, kind = own.rpartition(".")
        published = names[f"flow.{module}"].removeprefix("flownet.")
        state[f"_model.{published}.{kind}"] = value.detach().cpu()
    _export(path, {"epoch": 0, "state_dict": state})


def to_published(model: EQVI) -> _Tensors:
    """The model's tensors under their published names, without the leading ``module.``.

    Raises:
        InputError: a model without ScopeFlow as published, or without refinement, has no published form.
    """
    if model.config.flow_scalings != 2:
        raise InputError("a model whose flow network scales once has no published form")
    if model.config.flow != "scopeflow" or not model.config.refine:
        raise InputError(f"a model with flow={model.config.flow!r}, refine={model.config.refine} has no published form")
    if model.config.start != "published":
        raise InputError(f"a model with start={model.config.start!r} has no published form")
    names = {own: published for published, own in _modules().items()}
    state: _Tensors = {}
    for own, value in model.state_dict().items():
        module, _, kind = own.rpartition(".")
        published = f"{names[module]}.{kind}"
        prefix = "QVI_model." if model.config.multi_scale and not published.startswith("FusionNet.") else ""
        state[prefix + published] = value.detach().cpu()
        if published.startswith("flownet."):
            state[f"{prefix}acc.{published}"] = state[prefix + published]
    if model.config.residual:
        prefix = "QVI_model." if model.config.multi_scale else ""
        state |= {f"{prefix}get_grad.{name}": kernel for name, kernel in _gradient_kernels().items()}
    return state


@functools.cache
def _modules() -> dict[str, str]:
    """Published module name -> own module name, for every module that holds tensors."""
    names = {"feat_ext": "residual.context"}
    for published, own, stem, levels in (("refinenet", "refinement", 2, 5), ("synthesisnet", "residual", 3, 3)):
        for k in range(stem):
            names[f"{published}.conv{k + 1}"] = f"{own}.unet.stem.{k}"
        names[f"{published}.conv{stem + 1}"] = f"{own}.unet.head"
        for way in ("down", "up"):
            for k in range(levels):
                for j in range(2):
                    names[f"{published}.{way}{k + 1}.conv{j + 1}"] = f"{own}.unet.{way}.{k}.{j}"
    for published, own in (("masknet", "mask"), ("FusionNet", "fusion")):
        names |= {f"{published}.conv{k + 1}": f"{own}.layers.{k}" for k in range(2)}
        names[f"{published}.conv3"] = f"{own}.head"
    flow = {f"feature_pyramid_extractor.convs.{k}.{j}.0": f"pyramid.levels.{k}.{j}" for k in range(6) for j in range(2)}
    flow |= {f"conv_1x1.{k}.0": f"pyramid.projections.{k}" for k in range(4)}
    for published, own in (("flow", ""), ("occ", "occlusion.")):
        flow |= {f"{published}_estimators.conv{k + 1}.0": f"{own}estimator.layers.{k}" for k in range(5)}
        flow[f"{published}_estimators.conv_last.0"] = f"{own}estimator.head"
        context = "context_networks" if published == "flow" else "occ_context_networks"
        flow |= {f"{context}.convs.{k}.0": f"{own}context.layers.{k}" for k in range(6)}
        flow[f"{context}.convs.6.0"] = f"{own}context.head"
        flow |= {f"refine_{published}.convs.{k}.0": f"{own}refinement.layers.{k}" for k in range(7)}
    flow |= {
        "conv_1x1_1.0": "occlusion.projection",
        "occ_shuffle_upsample.init_conv.0": "occlusion.stem",
        "occ_shuffle_upsample.res_convs.0.0": "occlusion.residual.0",
        "occ_shuffle_upsample.res_convs.1.0": "occlusion.residual.1",
        "occ_shuffle_upsample.res_end_conv.0": "occlusion.tail",
        "occ_shuffle_upsample.out_convs.0": "occlusion.head",
    }
    return names | {f"flownet.{published}": f"flow.{own}" for published, own in flow.items()}


def _gradient_kernels() -> _Tensors:
    """The constant [-1 0 1] kernels that a published checkpoint stores beside its weights."""
    horizontal = torch.tensor([[0.0, 0, 0], [-1, 0, 1], [0, 0, 0]]).view(1, 1, 3, 3)
    return {"weight_h": horizontal, "weight_v": horizontal.transpose(2, 3).contiguous()}


def _from_published(path: Path, tensors: _Tensors) -> tuple[EQVIConfig, _Tensors]:
    """Configuration and own tensors of a published EQVI checkpoint."""
    tensors = {name.removeprefix("module."): value for name, value in tensors.items()}
    multi_scale = any(name.startswith("QVI_model.") for name in tensors)
    tensors = {name.removeprefix("QVI_model."): value for name, value in tensors.items()}
    for name in [name for name in tensors if name.startswith("acc.flownet.")]:
        twin = name.removeprefix("acc.")
        if twin not in tensors or not torch.equal(tensors.pop(name), tensors[twin]):
            raise InputError(f"{path}: {name} differs from {twin}: the two stand for one network")
    kernels = _gradient_kernels()
    for name in [name for name in tensors if name.startswith("get_grad.")]:
        kernel = kernels.get(name.removeprefix("get_grad."))
        if kernel is None or not torch.equal(tensors.pop(name), kernel):
            raise InputError(f"{path}: {name} is not the constant gradient kernel that EQVI uses")
    own = _rename(path, tensors)
    config = EQVIConfig(
        residual="residual.context.weight" in own,
        multi_scale=multi_scale,
        flow_width=_width(path, own, "flow.pyramid.levels.0.0.weight", 16),
        refine_width=_width(path, own, "refinement.unet.stem.0.weight", 32),
    )
    if config.residual:
        width = _width(path, own, "residual.unet.stem.0.weight", 64)
        channels = own["residual.context.weight"].shape[0]
        config = dataclasses.replace(config, synthesis_width=width, context_channels=channels)
    return config, own


def _is_flow(tensors: _Tensors) -> bool:
    """Whether a file holds ScopeFlow or IRR-PWC on its own."""
    return any(re.match(r"(_model\.)?(module\.)*feature_pyramid_extractor\.", name) for name in tensors)


def _width(path: Path, own: _Tensors, name: str, published: int) -> float:
    """The fraction of the published width that the tensor `name` shows."""
    if name not in own:
        raise InputError(f"{path}: not an EQVI checkpoint: it holds nothing for {name}")
    return own[name].shape[0] / published


def _rename(path: Path, tensors: _Tensors) -> _Tensors:
    """Own names for published ones."""
    own = {}
    for name, value in tensors.items():
        module, _, kind = name.rpartition(".")
        if module not in _modules():
            raise InputError(f"{path}: tensor {name!r} belongs to no part of EQVI: a checkpoint of another model?")
        own[f"{_modules()[module]}.{kind}"] = value
    return own


def _own_config(path: Path, values: Any) -> EQVIConfig:
    """The configuration that a file of our own names."""
    try:
        return EQVIConfig.from_dict(values)
    except (ValueError, TypeError, KeyError, AttributeError) as error:  # InputError is a ValueError
        raise InputError(f"{path}: its configuration cannot be used ({reason(error)[:300]}): save it again") from None


def _built(build: Callable[[], _Network], tensors: _Tensors, path: Path) -> _Network:
    """A network with the tensors of a file, all of which are accounted for before any memory is taken for it."""
    try:
        with torch.device("meta"):
            expected = build().state_dict()
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise InputError(f"{path}: no network can be built of it ({reason(error)[:300]})") from None
    missing, unknown = expected.keys() - tensors.keys(), tensors.keys() - expected.keys()
    for problem, names in (("lacks", missing), ("has besides", unknown)):
        if names:
            raise InputError(f"{path}: {problem} {len(names)} of the model's tensors, first {min(names)}")
    for name, value in expected.items():
        given = tensors[name]
        if given.shape != value.shape:
            raise InputError(f"{path}: {name} has shape {tuple(given.shape)}, the model's is {tuple(value.shape)}")
        if given.numel() * given.element_size() > given.untyped_storage().nbytes():
            raise InputError(f"{path}: {name} holds fewer numbers than its shape says")
    network = build()
    network.load_state_dict({name: tensors[name].to(value.dtype) for name, value in expected.items()})
    return network


def _read(path: Path) -> tuple[_Tensors, dict[str, Any]]:
    """All tensors of a file by their stored names, and the metadata of our own format ({} for others)."""
    if not path.is_file():
        raise InputError(f"{path}: there is no such checkpoint: train or fetch it first, or name another")
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        except SafetensorError as error:
            raise InputError(f"{path}: not a readable safetensors file, perhaps cut short ({error})") from None
        if _FORMAT not in metadata:
            raise InputError(f"{path}: a safetensors file, but not written by eqvi.model.checkpoint.save")
        try:
            return tensors, dict(parse_json(metadata[_FORMAT]))
        except (ValueError, TypeError) as error:
            raise InputError(f"{path}: its metadata cannot be read ({reason(error)}): save it again") from None
    try:
        with torch.serialization.safe_globals(_ALLOWED), warnings.catch_warnings():
            # Only the content matters, not the protocol.
            warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        refused = re.search(r"Unsupported global: GLOBAL (\S+)", str(error))
        why = f"it holds {refused[1]}, which is not allowed in a checkpoint" if refused else "perhaps cut short"
        raise InputError(f"{path}: not a readable checkpoint: {why}") from None
    except Exception as error:  # a damaged pickle can fail in any way; a refused one came above
        raise InputError(f"{path}: not a readable checkpoint, perhaps cut short ({type(error).__name__})") from None
    for key in ("model_state_dict", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise InputError(f"{path}: holds no dictionary of tensors: not a checkpoint of EQVI, ScopeFlow or IRR-PWC")
    return content, {}


def _export(path: str | os.PathLike, content: dict[str, Any]) -> None:
    """Write a published checkpoint's content, with today's date in it."""
    content = content | {"timestamp": datetime.datetime.now()}
    with replacing(Path(path)) as partial:
        torch.save(content, partial, _use_new_zipfile_serialization=False)
