"""What `python -m eqvi gpu` measured, as data frames: the files of ``results/gpu``, one for each step.

Rehearsals and measurements on a CPU are refused: only what a GPU gave is a result. Where a step was not measured, its
table is one row that says so and why.
"""

import re
from pathlib import Path
from typing import Any

import pandas as pd

from eqvi.errors import InputError
from eqvi.files import parse_json
from eqvi.paths import RESULTS
from eqvi.reports.tables import markdown

#: The steps in order, with the titles of their tables.
STEPS = {
    "environment": "The device, and what it can do",
    "parity": "Parity with the released implementation",
    "speed": "Speed and memory",
    "profile": "Where the time of a 720p frame goes",
    "compiled": "Compiled",
    "training_rate": "Training",
    "rendering": "Windows rendered on its cores meanwhile",
    "weights": "Weights",
}
NO_GPU, LEFT_OUT = "no GPU was at hand", "it was not among the steps of the visit"
#: What kernels do, with what their names contain; the first that fits.
KINDS = {
    "convolution": "fprop|gemm|conv2d", "concatenation": "CatArray", "layout and precision": "Nhwc|Nchw|copy|Memcpy",
    "bias": "CUDAFunctor_add", "bias and activation": "add_bias_and_activate", "activation": "leaky_relu",
    "upsampling": "upsample", "average pooling": "avg_pool", "cost volume": "cost_volume",
    "warping": "sampler|sample_at",
    "zeros": "Memset",
}  # fmt: skip
_PRECISIONS = {"float32": "float32", "tf32": "TF32", "bfloat16": "bfloat16"}
_NO_TIME = "no time left"
_CASE = ["height", "width", "precision", "execution"]


def record(step: str, folder: Path = RESULTS / "gpu") -> dict[str, Any] | None:
    """A step's file; None if there is none, or if it is of a rehearsal or a CPU.

    Raises:
        InputError: it cannot be read.
    """
    path = folder / f"{step}.json"
    if not path.is_file():
        return None
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
        measured = content["device_kind"] == "cuda" and not content["toy"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is no file of `python -m eqvi gpu` ({error}): remove it") from None
    return content if measured else None


def steps(folder: Path = RESULTS / "gpu") -> pd.DataFrame:
    """How each step ended: ``step``, ``status``, ``seconds``, ``device``, ``commit``, ``command``, ``why`` (text)."""
    lines = []
    for step in STEPS:
        if step == "profile":  # a table of the step speed
            continue
        content = record(step, folder)
        line = {"step": step, "status": "not measured", "why": _why_missing(folder)}
        if content is not None:
            made = content["provenance"]
            line |= {"status": content["status"], "seconds": f"{content['seconds']:.0f}", "why": content["why"]}
            line |= {"device": made.get("device", ""), "commit": made.get("commit", "")}
            line |= {"command": content["command"]}
        lines.append(line)
    columns = ["step", "status", "seconds", "device", "commit", "command", "why"]
    return pd.DataFrame(lines).reindex(columns=columns).fillna("")


def rates(folder: Path = RESULTS / "gpu") -> pd.DataFrame:
    """Copy and matrix rates of the device: ``what``, ``rate`` (float64), ``unit``."""
    return _rows("environment", "rates", folder)


def parity(folder: Path = RESULTS / "gpu") -> pd.DataFrame:
    """Every mode beside the golden numbers.

    Columns:
        mode, stages: name, and number of golden stages (int64).
        within: how many of them meet the CPU's tolerance (int64).
        largest: difference before the first flow reversal, pixels (float64).
        exceeding: largest share of pixels that miss by more than 1e-4 in any stage (float64).
        psnr: lowest of a new frame against the golden one, dB (float64).
    """
    frames = [_rows(step, "stages", folder) for step in ("parity", "compiled")]
    rows = pd.concat([frame for frame in frames if "mode" in frame] or frames[:1])
    if "mode" not in rows:
        return rows
    lines = []
    for mode, group in rows.groupby("mode", sort=False):
        before = group[group["stage"].isin(["F12", "F21", "F1t", "F2t"])]
        line = {"mode": mode, "stages": len(group), "within": int(group["within"].sum())}
        line |= {"largest": before["largest"].max(), "exceeding": group["exceeding"].max()}
        lines.append(line | {"psnr": group["psnr"].astype("float64").min()})
    return pd.DataFrame(lines)


def splat(folder: Path = RESULTS / "gpu") -> pd.DataFrame:
    """The flow reversal repeated: ``deterministic``, ``runs``, ``identical`` (of them), ``largest`` difference."""
    rows = _rows("parity", "splat", folder)
    if "deterministic" not in rows:
        return rows
    groups = rows.groupby("deterministic", as_index=False)
    return groups.agg(runs=("run", "count"), identical=("identical", "sum"), largest=("largest", "max"))


def speed(folder: Path = RESULTS / "gpu", step: str = "speed") -> pd.DataFrame:
    """Every case and variant, as text where it was left out.

    Columns:
        size, precision, execution, variant: of the case; see `eqvi.evaluation.gpu_speed`.
        frames_per_second: new frames, the median over rounds (float64).
        peak_mib: most memory (float64).
        ratio, memory_ratio: to the published schedule at the same size and precision, eager (float64).
        of_published: the rate's ratio to the published schedule as torch computes it on such a device by default, its
            convolutions in TF32 (float64).
        of_floor: the share of the time that its convolutions' arithmetic takes at the measured matrix rate (float64).
        why: of what was left out (text).
    """
    rows = _rows(step, "rows", folder)
    if "variant" not in rows:
        return rows
    rows = rows.assign(rate=rows["made"] / rows["seconds"])
    groups = rows.groupby([*_CASE, "variant"], as_index=False, sort=False)
    lines = groups.agg(frames_per_second=("rate", "median"), peak_mib=("peak_mib", "max"))
    published = _median_published(folder)
    lines = lines.merge(published, "left", ["height", "width", "precision"])
    by_default = published[published["precision"] == "tf32"].set_index(["height", "width"])["published_rate"]
    lines["ratio"] = lines["frames_per_second"] / lines.pop("published_rate")
    sizes = zip(lines["height"], lines["width"], strict=True)
    lines["of_published"] = lines["frames_per_second"] / [by_default.get(size, float("nan")) for size in sizes]
    lines["memory_ratio"] = lines["peak_mib"] / lines.pop("published_mib")
    lines["of_floor"] = [_of_floor(line, folder) for line in lines.itertuples()]
    left_out = _rows(step, "left_out", folder)
    if "variant" in left_out:
        late = left_out["why"].str.startswith(_NO_TIME)
        lines = pd.concat([lines, left_out[~late][[*_CASE, "variant", "why"]]])
    lines.insert(0, "size", lines.pop("width").astype(str) + "x" + lines.pop("height").astype(str))
    if "variant" in left_out and late.any():
        cases = [f"{row.width}x{row.height} {row.precision} {row.execution}" for row in left_out[late].itertuples()]
        why = f"{_NO_TIME} for {', '.join(cases)}"
        lines = pd.concat([lines, pd.DataFrame([{"variant": f"{len(cases)} cases", "why": why}])])
    return lines.assign(why=lines["why"].fillna("") if "why" in lines else "").reset_index(drop=True)


def profile(folder: Path = RESULTS / "gpu") -> pd.DataFrame:
    """The kernels that take most time in a new frame, by what they do.

    Columns:
        precision, execution: of the case.
        kind: of `KINDS`, or the kernel's name (text).
        calls, milliseconds: for a new frame (float64).
        share: of all kernels' time (float64).
    """
    rows = _rows("speed", "profile", folder)
    if "operation" not in rows:
        return rows
    for column in ("calls", "milliseconds"):
        rows[column] /= rows["windows"]
    rows["kind"] = [next((kind for kind, words in KINDS.items() if re.search(words, name)), name[:40])
                    for name in rows["operation"]]  # fmt: skip
    groups = rows.groupby(["precision", "execution", "kind"], as_index=False, sort=False)
    lines = groups[["calls", "milliseconds", "share"]].sum()
    return lines.sort_values(["precision", "execution", "share"], ascending=[False, False, False], ignore_index=True)


def training_rate(folder: Path = RESULTS / "gpu") -> pd.DataFrame:
    """Training steps: ``precision``, ``crop``, ``batch``, ``variant``, ``samples_per_second``, ``peak_mib``, ``ratio``.

    The ratio is to the published schedule of flow calls in the same precision.
    """
    rows = _rows("training_rate", "rows", folder)
    if "variant" not in rows:
        return rows
    rows = rows.assign(rate=rows["made"] / rows["seconds"])
    groups = rows.groupby(["precision", "crop", "batch", "variant"], as_index=False, sort=False)
    lines = groups.agg(samples_per_second=("rate", "median"), peak_mib=("peak_mib", "max"))
    published = lines[lines["variant"] == "published"].set_index("precision")["samples_per_second"]
    return lines.assign(ratio=lines["samples_per_second"] / lines["precision"].map(published))


def rendering(folder: Path = RESULTS / "gpu") -> pd.DataFrame:
    """Windows rendered beside the steps: ``made`` by ``workers`` in ``seconds``, ``windows_per_second`` (float64)."""
    rows = _rows("rendering", "windows", folder)
    if "made" not in rows:
        return rows
    last = rows.tail(1)[["workers", "made", "seconds"]]
    return last.assign(windows_per_second=last["made"] / last["seconds"])


def weights(folder: Path = RESULTS / "gpu") -> pd.DataFrame:
    """The training runs: name, steps, milliseconds a step and scores of the last validation; those left out, and why.

    Columns:
        run, seed: of the run (text, int64).
        step, steps: done and in all (int64).
        ms_a_step: milliseconds (float64).
        psnr_start, psnr, ...: scores before the first step and at the end (float64).
        why: of what was left out (text).
    """
    rows = _rows("weights", "runs", folder)
    if "run" in rows:
        rows.insert(4, "ms_a_step", 1000 * rows.pop("seconds").astype("float64") / rows.pop("timed").astype("float64"))
        rows = rows.drop(columns="finished")
    left_out = _rows("weights", "left_out", folder)
    if "run" in left_out:
        late = left_out["why"].str.startswith(_NO_TIME)
        lines = [left_out[~late][["run", "why"]]]
        if late.any():
            names = ", ".join(left_out[late]["run"])
            lines += [pd.DataFrame([{"run": f"{late.sum()} runs", "why": f"{_NO_TIME} for {names}"}])]
        rows = pd.concat([rows if "run" in rows else pd.DataFrame(), *lines], ignore_index=True)
        rows["why"] = rows["why"].fillna("")
    return rows


#: The tables by the step's name.
TABLES = {
    "environment": rates, "parity": parity, "speed": speed, "profile": profile,
    "compiled": lambda folder=RESULTS / "gpu": speed(folder, "compiled"),
    "training_rate": training_rate, "rendering": rendering, "weights": weights,
}  # fmt: skip


def sentence(folder: Path = RESULTS / "gpu") -> str:
    """The fastest new frames of 720p as `interpolate` makes them, or else in any way, beside the published schedule;
    that it was not measured, where it was not."""
    lines, place = speed(folder), record("speed", folder)
    if "variant" not in lines or place is None:
        return f"Speed on a GPU was not measured: {_why_missing(folder)}."
    lines = lines[lines["size"] == "1280x720"]
    published = lines[(lines["variant"] == "published") & (lines["precision"] == "tf32")]
    ours = lines[lines["variant"].isin(["x2", "x4"]) & lines["frames_per_second"].notna()]
    if published.empty or ours.empty:
        return "Speed on a GPU was not measured at 1280x720."
    in_clips = ours[ours["execution"] == "clip"]
    ours = ours if in_clips.empty else in_clips
    best = ours.loc[ours.groupby("variant")["frames_per_second"].idxmax()].set_index("variant")
    words = [f"{line.frames_per_second:.0f} a second at {name} ({line.of_published:.0f} times the published schedule)"
             for name, line in best.iterrows()]  # fmt: skip
    return (
        f"On one {place['provenance']['device']} the model at published widths makes new frames of 1280x720"
        f"{'' if in_clips.empty else ', computed as `eqvi interpolate` does'}, "
        f"{' and '.join(words)}, in {_PRECISIONS[best['precision'].iloc[0]]}; the published schedule of flow calls "
        f"makes {published['frames_per_second'].iloc[0]:.1f} in TF32 ([notebook 25](notebooks/25_gpu.ipynb))."
    )


def section(folder: Path = RESULTS / "gpu") -> str:
    """All tables in Markdown; one line where nothing was measured."""
    if all(record(step, folder) is None for step in STEPS):
        return f"Not measured: {NO_GPU}."
    parts = [markdown(steps(folder))]
    for step, title in STEPS.items():
        parts += [f"**{title}**", markdown(TABLES[step](folder), missing="")]
    return "\n\n".join(parts)


def _rows(step: str, table: str, folder: Path) -> pd.DataFrame:
    content = record(step, folder)
    if content is None:
        return _missing(_why_missing(folder))
    rows = content["tables"].get(table, [])
    return pd.DataFrame(rows) if rows else _missing(content["why"] or "no such rows were written")


def _why_missing(folder: Path) -> str:
    """Why a step has no file."""
    others = (name for name in STEPS if name != "profile")
    return LEFT_OUT if any(record(name, folder) is not None for name in others) else NO_GPU


def _missing(why: str) -> pd.DataFrame:
    return pd.DataFrame([{"result": f"not measured: {why}"}])


def _median_published(folder: Path) -> pd.DataFrame:
    """The published schedule's rate and memory by size and precision."""
    columns = ["height", "width", "precision"]
    rows = _rows("speed", "rows", folder)
    if "variant" not in rows:
        return pd.DataFrame(columns=[*columns, "published_rate", "published_mib"])
    rows = rows[(rows["variant"] == "published") & (rows["execution"] == "eager")]
    rows = rows.assign(rate=rows["made"] / rows["seconds"])
    return rows.groupby(columns, as_index=False).agg(
        published_rate=("rate", "median"), published_mib=("peak_mib", "max")
    )


def _of_floor(line: Any, folder: Path) -> float:
    """The arithmetic's time at the measured matrix rate, as a share of the time that was taken."""
    rates_by_name, work = rates(folder), _rows("speed", "work", folder)
    if "what" not in rates_by_name or "gflop" not in work:
        return float("nan")
    rate = rates_by_name.set_index("what")["rate"].get(f"matrix {line.precision}")
    same = work[(work["height"] == line.height) & (work["width"] == line.width) & (work["variant"] == line.variant)]
    if rate is None or same.empty:
        return float("nan")
    return same["gflop"].iloc[0] / (1000 * rate) * line.frames_per_second
