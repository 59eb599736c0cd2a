"""Comparisons of runs as data frames: gains with intervals, gains by difficulty and by kind, readings of a metric.

Every gain is a paired difference: the same frames of two runs, averaged over each scene, then over scenes. What cannot
be computed is NaN, and the column ``reason`` says why.
"""

import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from eqvi.reports.published import METRICS, read_published
from eqvi.reports.runs import Run, paired, per_scene, read_run
from eqvi.reports.statistics import Estimate, estimate, estimates_frame

#: Readings of one run's PSNR and SSIM: name, and column of its rows. The first is the primary protocol.
READINGS = {
    "psnr": {
        "8 bit, rounded, RGB (primary)": "psnr",
        "not quantised": "psnr_float",
        "8 bit, truncated": "psnr_truncated",
        "luma only": "psnr_luma",
        "border of 10 px left out": "psnr_cropped",
    },
    "ssim": {
        "Gaussian window, sigma 1.5 (primary)": "ssim",
        "7x7 uniform window": "ssim_7x7",
        "3-D window over RGB": "ssim_3d",
    },
}
#: What frames can be sorted by: column, name, unit, and factor from the column to the unit.
DIFFICULTIES = {
    "motion": ("mean motion", "px", 1.0),
    "acceleration": ("mean acceleration", "px", 1.0),
    "occlusion": ("occluded", "%", 100.0),
    "epe": ("error of the flow", "px", 1.0),
}


def mean_scores(rows: pd.DataFrame, by: str = "model", metric: str = "psnr") -> pd.DataFrame:
    """Mean scores by clip, a column for each model or run, NaN where it did not score the clip.

    Under several clips stands their mean, NaN for whoever lacks one of them. Frames that somebody made equal to the
    truth, whose PSNR is infinite, are left out for everybody and counted in a column of their own.

    Args:
        rows: of `eqvi.reports.runs.read_frames`.
        by: the column that names who was measured.
        metric: the column that is averaged.
    """
    key = ["clip", "frame"]
    equal = np.isinf(rows.select_dtypes("float64")).any(axis=1).groupby([rows[name] for name in key]).transform("any")
    clips = rows["clip"].unique()
    groups = rows[~equal].groupby(["clip", by], sort=False)[metric]
    means = groups.mean().unstack(by).reindex(index=clips, columns=list(rows[by].unique())).rename_axis("clip")
    counts = rows.drop_duplicates(key).groupby("clip").size(), rows[equal].drop_duplicates(key).groupby("clip").size()
    every, left_out = (count.reindex(clips, fill_value=0) for count in counts)
    frames = every - left_out
    if len(means) > 1:
        means.loc["mean"] = means[frames > 0].mean(skipna=False)
        frames.loc["mean"], left_out.loc["mean"] = frames.sum(), left_out.sum()
    means.insert(0, "frames", frames)
    if left_out.any():
        means.insert(1, "equal frames, left out", left_out)
    return means


def overview(folder: Path) -> pd.DataFrame:
    """Mean PSNR of methods on sets of clips of our own, by the method's description and name; NaN: not measured.

    Columns are the sets of clips (float64, dB).

    Raises:
        InputError: as `eqvi.reports.runs.read_run`.
    """
    methods = {
        "average of the neighbours": "blend",
        "FFmpeg's motion compensation": "minterpolate",
        "no weights, linear motion": "baseline-linear",
        "no weights, quadratic motion": "baseline",
        "no weights, rectified motion, RQFP": "baseline-rectified",
        "no weights, eight frames, flow of both ways, lost detail": "baseline+8+two-way+detail",
        "the same, finished by small weights of ours: the default for footage": "finishing",
        "our weights, quarter width": "eqvi-quarter-dis",
    }
    sets = {"rendered clips, x2": "{}_rendered"}
    sets |= {f"real clips, {rate}": f"real_clips_{rate}:model={{}}" for rate in ("x2", "x4")}
    rendered = {"baseline-linear": "linear", "baseline-rectified": "rectified"}
    columns = {
        title: {
            f"{method} (`{name}`)": run.mean("psnr") if run.has("psnr") else math.nan
            for method, name in methods.items()
            for run in [read_run(folder, pattern.format(name if ":" in pattern else rendered.get(name, name)))]
        }
        for title, pattern in sets.items()
    }
    return pd.DataFrame(columns).rename_axis("method, mean PSNR in dB")


def gain(folder: Path, better: str, worse: str, metric: str = "psnr") -> Estimate:
    """How much one run is above another; the reason of what is missing if one of them was not measured.

    Raises:
        InputError: as `eqvi.reports.runs.paired`.
    """
    differences = scene_differences(folder, better, worse, metric)
    return Estimate(reason=differences) if isinstance(differences, str) else estimate(differences)


def scene_differences(folder: Path, better: str, worse: str, metric: str = "psnr") -> pd.Series | str:
    """How much one run is above another on each scene, or what is missing.

    Raises:
        InputError: as `eqvi.reports.runs.paired`.
    """
    first, second = read_run(folder, better), read_run(folder, worse)
    for run in (first, second):
        if run.reason:
            return run.reason if run.reason.startswith("needs") else f"{run.name}: {run.reason}"
        if not run.has(metric):
            return f"{run.name} has no {metric}"
    return per_scene(paired(first, second, metric))


def gains(folder: Path, pairs: Mapping[str, tuple[str, str]], metric: str = "psnr") -> pd.DataFrame:
    """The gain of one run over another, for several pairs by name: the columns of `Estimate`.

    Raises:
        InputError: as `eqvi.reports.runs.paired`.
    """
    return estimates_frame({name: gain(folder, *pair, metric) for name, pair in pairs.items()}, "gain of")


def leads(folder: Path, file: str, model: str) -> pd.DataFrame:
    """The lead in mean PSNR of one model over every other of a file: `Estimate`, and clips ``ahead`` (Int64).

    Args:
        folder: where results lie.
        file: of rows with a column ``model``, without its ending.
        model: whose lead is computed.

    Raises:
        InputError: as `eqvi.reports.runs.paired`.
    """
    own = read_run(folder, f"{file}:model={model}")
    rivals = [name for name in own.made_by.get("models", ()) if name != model]
    differences = {rival: per_scene(paired(own, read_run(folder, f"{file}:model={rival}"), "psnr")) for rival in rivals}
    frame = estimates_frame({rival: estimate(values) for rival, values in differences.items()}, f"{model} over")
    return frame.assign(ahead=pd.array([int((values > 0).sum()) for values in differences.values()], "Int64"))


def gains_by(
    folder: Path, better: str, worse: str, by: str, parts: int = 4, known_from: str | None = None
) -> pd.DataFrame:
    """The gain in PSNR of one run over another in parts of equally many frames, from the easiest to the hardest.

    Args:
        folder: where results lie.
        better, worse: runs over the same frames.
        by: one of `DIFFICULTIES`, or ``psnr``: the score of `worse` itself, hardest last.
        parts: how many.
        known_from: the run that holds the column `by`, over the same frames; `worse` if None.

    Returns:
        the columns of `Estimate`, indexed by range, for example ``0.5 to 2.1 px``; one row without an estimate if a
        run or the column was not measured.

    Raises:
        InputError: as `eqvi.reports.runs.paired`.
    """
    title, unit, factor = DIFFICULTIES.get(by, ("PSNR", "dB", 1.0))
    first, second, known = (read_run(folder, name) for name in (better, worse, known_from or worse))
    reason = first.reason or second.reason or known.reason or ("" if known.has(by) else f"{known.name} has no {by}")
    if reason:
        return estimates_frame({"all frames": Estimate(reason=reason)}, title)
    differences = paired(first, second, "psnr")
    values = factor * known.scores[by]
    edges = np.unique(np.quantile(values, np.linspace(0, 1, parts + 1)))
    if len(edges) == 1:  # every frame is as difficult as every other
        edges = edges.repeat(2)
    own = values.reindex(differences.index)
    estimates = {}
    for low, high in pairwise(edges):
        inside = (own >= low) & ((own < high) | (high == edges[-1]))
        estimates[f"{low:.3g} to {high:.3g} {unit}"] = estimate(per_scene(differences[inside]))
    return estimates_frame(dict(reversed(estimates.items())) if by == "psnr" else estimates, title)


def gains_by_kind(folder: Path, better: str, worse: str) -> pd.DataFrame:
    """The gain in PSNR of one run over another on the clips of each kind of path: the columns of `Estimate`.

    Raises:
        InputError: as `eqvi.reports.runs.paired`.
    """
    first, second = (read_run(folder, name) for name in (better, worse))
    if reason := first.reason or second.reason:
        return estimates_frame({"all paths": Estimate(reason=reason)}, "path")
    kinds: dict[str, str] = first.made_by["parameters"]["kinds"]
    means = per_scene(paired(first, second, "psnr"))
    groups = {kind: means[means.index.map(kinds) == kind] for kind in dict.fromkeys(kinds.values())}
    return estimates_frame({f"{kind} path": estimate(group) for kind, group in groups.items()}, "path")


def readings(run: Run, metric: str) -> dict[str, float]:
    """The mean over clips of every reading of ``psnr`` or ``ssim`` that was measured, the primary one first."""
    means = {reading: run.mean(column) for reading, column in READINGS[metric].items() if run.has(column)}
    if metric == "psnr" and run.has("mse") and (mse := float(run.scores["mse"].mean())) > 0:
        means["of the squared error pooled over all frames"] = 10 * math.log10(255**2 / mse)
    return means


def sensitivity(folder: Path, name: str) -> pd.DataFrame:
    """Every reading of a run's PSNR and SSIM.

    Columns:
        metric, reading: ``psnr`` or ``ssim``, and how it is read (text).
        value: the mean over clips (float64).
        from_primary: distance from the primary reading (float64).
        from_published: distance from the published figure, if the run measures one (float64).
        nearest: whether no other reading of the metric comes nearer to it (bool).
        reason: why the value is missing (text).

    Raises:
        InputError: as `eqvi.reports.runs.read_run`.
    """
    run, figures = read_run(folder, name), read_published(folder)
    published = figures[figures["run"] == name].set_index("metric")["published"]
    frames = []
    for metric in METRICS:
        means = {} if run.reason else readings(run, metric)
        frame = pd.DataFrame({"reading": list(dict.fromkeys([*means, *READINGS[metric]]))})
        frame.insert(0, "metric", metric)
        frame["value"] = frame["reading"].map(means).astype("float64")
        frame["from_primary"] = frame["value"] - frame["value"].iloc[0]
        if len(published):
            frame["from_published"] = frame["value"] - published[metric]
            frame["nearest"] = frame["from_published"].abs() == frame["from_published"].abs().min()
        frame["reason"] = np.where(frame["value"].isna(), run.reason or "no such column", "")
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def conventions(folder: Path, name: str) -> pd.Series:
    """Differences between published models, and what the reading of a run's PSNR changes: sizes in dB, by name.

    Raises:
        InputError: as `eqvi.reports.runs.read_run`.
    """
    sizes = {}
    figures = read_published(folder)
    for data, group in figures[figures["metric"] == "psnr"].groupby("data", sort=False):
        rows = zip(group["checkpoint"], group["published"], strict=True)
        for (first, low), (second, high) in pairwise(rows):
            sizes[f"{second} less {first}, {data}"] = abs(high - low)
    run = read_run(folder, name)
    if not run.reason:
        (_, primary), *others = readings(run, "psnr").items()
        sizes |= {f"reading: {reading}, {name}": abs(value - primary) for reading, value in others}
    return pd.Series(sizes, name="size of the difference, dB")


def motion_errors(folder: Path) -> pd.DataFrame:
    """The error of the motion models alone against exact flow, over pixels that all four frames see.

    Returns:
        the columns of `Estimate`, in pixels, indexed by ``motion`` and ``flow``.

    Raises:
        InputError: as `eqvi.reports.runs.read_run`.
    """
    estimates = {}
    for model in ("linear", "quadratic", "least_squares", "rectified"):
        for flow, title in (("exact", "exact flow"), ("dis", "DIS flow")):
            run = read_run(folder, f"motion_error:flow={flow},model={model}")
            estimates[model.replace("_", " "), title] = run.estimate("epe_visible")
    return estimates_frame(estimates, "motion", "flow")


def worst(folder: Path, name: str, count: int) -> pd.DataFrame:
    """The frames of a run with the lowest PSNR, with SSIM and `DIFFICULTIES` where they were measured.

    Raises:
        InputError: as `eqvi.reports.runs.read_run`.
    """
    run = read_run(folder, name)
    columns = [column for column in ("psnr", "ssim", *DIFFICULTIES) if run.has(column)]
    return run.worst(count)[columns] if columns else pd.DataFrame({"reason": [run.reason]})
