"""The study's tables, made from `results/` alone. All return Markdown; what is not there is named in its cell."""

import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eqvi.markdown import markdown_table
from eqvi.reports.published import DATA, NOT_PUBLISHED, Figure, figures, four_digits, obtain
from eqvi.reports.runs import Run, check_comparable, paired
from eqvi.reports.statistics import Estimate, estimate

#: Readings of one run's PSNR and SSIM: how each is told, and its column.
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
#: What a frame's difficulty is told by: its column, its name, its unit, and what to multiply it with.
DIFFICULTIES = {
    "motion": ("mean motion", "px", 1.0),
    "acceleration": ("mean acceleration", "px", 1.0),
    "occlusion": ("occluded", "%", 100.0),
    "epe": ("error of the flow", "px", 1.0),
}
_DIGITS = {"psnr": 4, "ssim": 4}


def shown(found: Estimate, digits: int = 3, signed: bool = True) -> str:
    """An estimate with its interval, or why there is none."""
    form = f"{'+' if signed else ''}.{digits}f"
    if math.isinf(found.low):
        return f"{found.value:{form}} ({found.clips} clip{'s' * (found.clips != 1)}: no interval)"
    return f"{found.value:{form}} [{found.low:{form}}, {found.high:{form}}]"


def offset(difference: float) -> str:
    """A difference to four digits with its sign; a zero has a plus."""
    return f"{round(difference, 4) + 0.0:+.4f}"


def published(folder: Path) -> str:
    """The published table in its own layout, each figure beside what was measured and how far that is off.

    Raises:
        InputError: results that cannot be read, or of different protocols.
    """
    lines: dict[str, list[Figure]] = {}
    for figure in figures(folder):
        lines.setdefault(figure.checkpoint, []).append(figure)
    runs = {figure.run: obtain(folder, figure.run) for line in lines.values() for figure in line}
    check_comparable(*(run for run in runs.values() if isinstance(run, Run)))
    header = ["checkpoint", "RCSN", "RQFP", "MS-Fusion"]
    for data in DATA:
        header += [f"{data}: PSNR / SSIM published", "measured, 95 % interval", "difference"]
    rows = []
    for checkpoint, line in lines.items():
        row = [checkpoint, *line[0].parts]
        for data in DATA:
            row += next((_cells(figure, runs[figure.run]) for figure in line if figure.data == data), [""] * 3)
        rows.append(row)
    return markdown_table(header, rows)


def _cells(figure: Figure, run: Run | str) -> list[str]:
    stated = {"psnr": figure.psnr, "ssim": figure.ssim}
    first = " / ".join(four_digits(text) if text else NOT_PUBLISHED for text in stated.values())
    if isinstance(run, str):
        return [first, f"not measured: {run}", "not measured"]
    found = {column: estimate(list(run.clip_means(column).values())) for column in stated}
    measured = " / ".join(shown(found[column], digits=_DIGITS[column], signed=False) for column in stated)
    offsets = [offset(found[column].value - float(text)) for column, text in stated.items() if text]
    return [first, measured, " / ".join(offsets)]


def sensitivity(folder: Path, name: str) -> str:
    """Every reading of a run's PSNR and SSIM, how far each is from the primary one and from the published figure.

    Raises:
        InputError: as `eqvi.reports.runs.read_run`.
    """
    run = obtain(folder, name)
    if isinstance(run, str):
        return f"`{name}` is not measured: {run}."
    stated = next((figure for figure in figures(folder) if figure.run == name), None)
    rows = []
    for column, unit in (("psnr", "PSNR, dB"), ("ssim", "SSIM")):
        found = readings(run, column)
        primary = next(iter(found.values()))
        goal = getattr(stated, column, None)
        offsets = {reading: None if goal is None else value - float(goal) for reading, value in found.items()}
        nearest = min((abs(far) for far in offsets.values() if far is not None), default=None)
        for reading, value in found.items():
            far = offsets[reading]
            apart = NOT_PUBLISHED if far is None else f"{offset(far)}{', nearest' * (abs(far) == nearest)}"
            rows.append([unit, reading, f"{value:.4f}", offset(value - primary), apart])
        for reading, key in READINGS[column].items():
            if not run.has(key):
                rows.append([unit, reading, "not measured", "", ""])
    return markdown_table(["", "reading", "value", "from primary", "from published"], rows)


def sensitivities(folder: Path, name: str) -> str:
    """`sensitivity` of one run, and of every published model that was measured.

    Raises:
        InputError: as `eqvi.reports.runs.read_run`.
    """
    measured = [one.run for one in figures(folder) if not isinstance(obtain(folder, one.run), str)]
    return "\n\n".join(f"`{one}`:\n\n{sensitivity(folder, one)}" for one in [name, *measured])


def readings(run: Run, column: str) -> dict[str, float]:
    """The mean over clips of every reading of ``psnr`` or ``ssim`` that was measured, the primary one first."""
    found = {
        reading: float(np.mean(list(run.clip_means(key).values())))
        for reading, key in READINGS[column].items()
        if run.has(key)
    }
    if column == "psnr" and run.has("mse") and float(run.values["mse"].mean()) > 0:
        found["of the squared error pooled over all frames"] = 10 * math.log10(255**2 / run.values["mse"].mean())
    return found


def conventions(folder: Path, name: str) -> dict[str, float]:
    """What published models differ by, and what the reading of a run's PSNR moves it by: sizes in dB, by name.

    Raises:
        InputError: as `eqvi.reports.runs.read_run`.
    """
    lines: dict[str, list[Figure]] = {}
    for figure in figures(folder):
        lines.setdefault(figure.data, []).append(figure)
    found = {}
    for data, line in lines.items():
        for first, second in pairwise(line):
            gap = float(second.psnr or "nan") - float(first.psnr or "nan")
            found[f"{second.checkpoint} less {first.checkpoint}, {data}"] = abs(gap)
    run = obtain(folder, name)
    if not isinstance(run, str):
        primary, *others = readings(run, "psnr").items()
        found |= {f"reading: {reading}, {name}": abs(value - primary[1]) for reading, value in others}
    return found


def gain_table(folder: Path, pairs: Mapping[str, tuple[str, str]]) -> str:
    """The gain in PSNR of one run over another, for several pairs by name.

    Raises:
        InputError: as `eqvi.reports.runs.paired`.
    """
    rows = []
    for name, (better, worse) in pairs.items():
        found = gain(folder, better, worse)
        if isinstance(found, str):
            rows.append([name, f"not measured: {found}", "", ""])
        else:
            rows.append([name, shown(found), str(found.clips), f"{found.sign_p:.3g}"])
    return markdown_table(["gain of", "dB, 95 % interval", "clips", "sign test, p"], rows)


def leads(folder: Path, file: str, model: str) -> str:
    """How far one model of a file of rows is ahead of every other, in mean PSNR, and on how many of the clips.

    Args:
        folder: where results lie.
        file: of rows with a column ``model``, without its ending.
        model: whose lead is asked for.

    Raises:
        InputError: as `eqvi.reports.runs.paired`.
    """
    rows = []
    own = obtain(folder, f"{file}:model={model}")
    rivals = [] if isinstance(own, str) else [name for name in own.made_by["models"] if name != model]
    for rival in rivals:
        other = obtain(folder, f"{file}:model={rival}")
        assert isinstance(own, Run)
        assert isinstance(other, Run)
        differences = paired(own, other, "psnr")
        ahead = sum(value > 0 for value in differences)
        rows.append([rival, shown(estimate(differences), 2), f"{ahead} of {len(differences)}"])
    return markdown_table([f"`{model}` over", "dB, 95 % interval", "clips on which it is ahead"], rows)


def gain(folder: Path, better: str, worse: str, column: str = "psnr") -> Estimate | str:
    """How much one run is above another, clips as units; or what is missing.

    Raises:
        InputError: as `eqvi.reports.runs.paired`.
    """
    runs = [obtain(folder, name) for name in (better, worse)]
    for name, run in zip((better, worse), runs, strict=True):
        if isinstance(run, str):
            return run if run.startswith("needs") else f"{name}: {run}"
        if not run.has(column):
            return f"{name} has no {column}"
    first, second = (run for run in runs if isinstance(run, Run))
    return estimate(paired(first, second, column))


def gains(
    folder: Path, better: str, worse: str, by: str, parts: int = 4, told_by: str | None = None
) -> dict[str, Estimate]:
    """The gain in PSNR of one run over another in equal parts of the frames, from the easiest to the hardest.

    Args:
        folder: where results lie.
        better, worse: runs over the same frames.
        by: one of `DIFFICULTIES`, or ``psnr``: the score of `worse` itself, hardest last.
        parts: in how many parts of equally many frames.
        told_by: the run that holds the column `by`, over the same frames; `worse` if None.

    Returns:
        by range, for example ``0.5 to 2.1 px``; nothing where a run or the column was not measured.

    Raises:
        InputError: as `eqvi.reports.runs.paired`.
    """
    first, second, known = (obtain(folder, name) for name in (better, worse, told_by or worse))
    if isinstance(first, str) or isinstance(second, str) or isinstance(known, str) or not known.has(by):
        return {}
    _, unit, factor = DIFFICULTIES.get(by, ("", "dB", 1.0))
    values = factor * known.values[by]
    edges = np.unique(np.quantile(values, np.linspace(0, 1, parts + 1)))
    if len(edges) == 1:  # every frame is as difficult as every other
        edges = edges.repeat(2)
    place = {frame: float(value) for frame, value in zip(known.frames, values, strict=True)}
    own = np.array([place.get(frame, math.nan) for frame in first.frames])
    found = {}
    for low, high in pairwise(edges):
        inside: NDArray[np.bool_] = (own >= low) & ((own < high) | (high == edges[-1]))
        found[f"{low:.3g} to {high:.3g} {unit}"] = estimate(paired(first, second, "psnr", inside))
    return dict(reversed(found.items())) if by == "psnr" else found


def estimates_table(found: Mapping[str, Estimate], heading: str, quantity: str) -> str:
    """Named estimates with what they stand on."""
    rows = [[name, shown(one), str(one.clips), f"{one.sign_p:.3g}"] for name, one in found.items()]
    if not rows:
        return f"Not measured: no run here has both {quantity} and {heading}."
    return markdown_table([heading, f"{quantity}, 95 % interval", "clips", "sign test, p"], rows)


def motion_errors(folder: Path) -> str:
    """How far the motion models alone are from exact flow, over pixels that all four frames see.

    Raises:
        InputError: as `eqvi.reports.runs.read_run`.
    """
    rows = []
    for model in ("linear", "quadratic", "least_squares", "rectified"):
        row = [model.replace("_", " ")]
        for source in ("exact", "dis"):
            run = obtain(folder, f"motion_error:flow={source},model={model}")
            if isinstance(run, str):
                return f"Not measured: {run}."
            row.append(shown(estimate(list(run.clip_means("epe_visible").values())), signed=False))
        rows.append(row)
    return markdown_table(["motion model", "px off, given exact flow", "px off, given DIS flow"], rows)


def worst(folder: Path, name: str, count: int) -> str:
    """The frames of a run with the lowest PSNR, and what is known of each.

    Raises:
        InputError: as `eqvi.reports.runs.read_run`.
    """
    run = obtain(folder, name)
    if isinstance(run, str):
        return f"`{name}` is not measured: {run}."
    columns = ["psnr", *(column for column in ("ssim", *DIFFICULTIES) if run.has(column))]
    order = sorted(range(len(run.frames)), key=lambda index: (run.values["psnr"][index], run.frames[index]))
    body = [[*run.frames[i], *(f"{run.values[column][i]:.3f}" for column in columns)] for i in order[:count]]
    return markdown_table(["clip", "frame", *columns], body)
