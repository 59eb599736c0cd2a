"""The claims about EQVI: text, source, fields to select by, and the runs that decide each. No measurement."""

import math
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from eqvi.reports.ablation import CLAIMED, FILES, ROWS, run_name, start_name
from eqvi.reports.published import read_published
from eqvi.reports.runs import DATA

README, PAPER, STUDY = "README of the published code", "published text; no figure found", "this study"
#: Whose claims: about the published weights, and about this study's models. What tests prove is in
#: `eqvi.reports.proved`. The lists are counted apart.
LISTS = OF_PAPER, OF_STUDY = "paper", "study"
#: The command that measures what is claimed of the published weights.
COMMAND = "make reproduce DATA=/path/to/REDS_VTSR WEIGHTS=/path/to/checkpoints"


class Claim(NamedTuple):
    """A claim. The fields up to `source`, and `kind`, are columns of the ledger.

    Attributes:
        claim: in words; no two are equal.
        part: the part of EQVI that it is about.
        data: the clips.
        rate: of real clips: ``x2`` or ``x4``; otherwise empty.
        flow: ``ScopeFlow`` (the published network), ``DIS``, ``our network`` or ``exact``; empty where it has no part.
        weights: ``published``, ``ours`` or ``none``.
        metric: ``psnr``, ``ssim``, ``lpips``, ``sharpness`` (gradient energy), ``epe_visible`` (px) or ``days``.
        source: who claims it.
        run: the run that decides it.
        against: the run that it is compared with; empty where the claim is a figure.
        sign: whether `run` is claimed to be above (1) or below (-1) `against`.
        published: the published figure or difference; NaN if none was published.
        needs: what is missing where no file of results could decide it.
        kind: ``difference`` of two runs, ``span`` (a difference without sign: highest less lowest), or ``figure``.
    """

    claim: str
    part: str
    data: str
    rate: str
    flow: str
    weights: str
    metric: str
    source: str
    run: str = ""
    against: str = ""
    sign: int = 1
    published: float = math.nan
    needs: str = ""
    kind: str = "difference"

    @property
    def list(self) -> str:
        """Whose claim it is: one of `LISTS`."""
        return OF_PAPER if self.weights == "published" else OF_STUDY

    @property
    def family(self) -> str:
        """The family of claims that are corrected together: those of one list about one part."""
        return f"{self.part}, published weights" if self.list == OF_PAPER else self.part


# Claims about two published models: run, rival, part, and by metric the claim and its sign.
_STAGE3, _STAGE4, _SCRATCH, _VGG = "stage3_rcsn_rqfp", "stage4_ms_fusion", "stage123_scratch", "stage123_scratch_vgg"
_PUBLISHED = (
    (_STAGE4, _STAGE3, "MS-Fusion", {"psnr": ("MS-Fusion raises PSNR", 1), "ssim": ("MS-Fusion lowers SSIM", -1)}),
    (_SCRATCH, _STAGE3, "training from scratch", {
        "psnr": ("training from scratch beats stages: PSNR", 1),
        "ssim": ("training from scratch beats stages: SSIM", 1),
    }),
    (_VGG, _SCRATCH, "perceptual loss", {
        "psnr": ("the perceptual model lowers PSNR", -1),
        "ssim": ("the perceptual model lowers SSIM", -1),
        "sharpness": ("the perceptual model is sharper (gradient energy)", 1),
        "lpips": ("the perceptual model is nearer by LPIPS", -1),
    }),
)  # fmt: skip
# Claims about two rows of the ablation (notebook 16), alike.
_ABLATION = (
    ("quadratic", "linear", "quadratic motion", {
        "psnr": ("quadratic motion beats linear motion in the trained model: PSNR", 1),
    }),
    ("rqfp", "quadratic", "RQFP", {"psnr": ("RQFP beats plain quadratic motion in the trained model: PSNR", 1)}),
    ("flow-quarter_rqfp", "flow-quarter_quadratic", "RQFP", {
        "psnr": ("RQFP beats plain quadratic motion in the trained model, on our learned flow: PSNR", 1),
    }),
    ("rcsn", "quadratic", "RCSN", {"psnr": ("RCSN beats no synthesis: PSNR", 1)}),
    ("trajectories", "rcsn", "trajectories", {
        "psnr": ("paths over eight frames beat the paper's motion in the trained model: PSNR", 1),
    }),
    ("fusion", "stages", *_PUBLISHED[0][2:]),
    ("scratch", "stages", *_PUBLISHED[1][2:]),
    ("perceptual", "scratch", "perceptual loss", {
        "psnr": ("the perceptual model (MS-SSIM for VGG) lowers PSNR", -1),
        "sharpness": ("the perceptual model (MS-SSIM for VGG) is sharper (gradient energy)", 1),
    }),
)  # fmt: skip
# Where the motion models of the weight-free baseline were compared: data, rate, and the runs with rectified,
# quadratic and linear motion. On real footage the rows of the trajectories ask the same (`_of_trajectories`), and a
# question is asked once.
_MOTION = (
    ("rendered clips", "", ("rectified_rendered", "quadratic_rendered", "linear_rendered")),
    ("REDS_VTSR val", "", ("rectified_val30", "quadratic_val30", "linear_val30")),
)
# Claims that no file of results here could decide: claim, part, data, source, published difference, what is missing.
_UNDECIDABLE = (
    ("RCSN beats no synthesis, REDS_VTSR", "RCSN", "REDS_VTSR", PAPER, math.nan,
     "no checkpoint without RCSN was published; needs REDS_VTSR and two models trained on it"),
    ("RQFP beats plain quadratic motion in the trained model, REDS_VTSR", "RQFP", "REDS_VTSR", PAPER, math.nan,
     "no checkpoint trained without RQFP was published; needs REDS_VTSR and two models trained on it"),
    ("a mismatch of training and test data lowers the score sharply, REDS_VTSR", "training data", "REDS_VTSR", PAPER,
     math.nan, "needs models trained on two sets of data and both sets' test clips"),
    ("EQVI won the AIM 2020 challenge on video temporal super-resolution", "whole model", "REDS_VTSR test", README,
     math.nan, "the truth of the 30 test clips is not public"),
    ("EQVI is below QVI on Vimeo-90K: PSNR", "whole model", "Vimeo-90K", "FLAVR, issue 18", 34.05 - 34.72,
     "published: 34.05 and 34.72 dB; needs Vimeo-90K and both models' weights"),
    ("EQVI is below QVI on UCF101: PSNR", "whole model", "UCF101", "FLAVR, issue 18", 32.08 - 32.61,
     "published: 32.08 and 32.61 dB; needs UCF101 and both models' weights"),
)  # fmt: skip


def figures(folder: Path) -> list[Claim]:
    """A claim for each figure of the published table.

    Raises:
        InputError: as `read_published`.
    """
    table = read_published(folder).dropna(subset="published")
    return [
        Claim(f"{row.checkpoint}: {row.metric.upper()} on {row.data}", "whole model", _without_size(row.data), "",
              "ScopeFlow", "published", row.metric, README, row.run, published=row.published, kind="figure")
        for row in table.itertuples()
    ]  # fmt: skip


def differences(folder: Path) -> list[Claim]:
    """The claims that compare two runs: those of the published table, then those without a published figure.

    Raises:
        InputError: as `read_published`.
    """
    real = (part(rate) for part in (_of_trajectories, _of_detail) for rate in ("x2", "x4"))
    parts = _of_motion(), *real, _of_ablation(), _of_our_model(), _of_motion_error()
    return [*_of_published(folder), *chain.from_iterable(parts)]


def undecidable() -> list[Claim]:
    """The claims that no file of results here could decide."""
    return [
        Claim(text, part, data, "", "ScopeFlow", "published", "psnr", source, published=published, needs=needs)
        for text, part, data, source, published, needs in _UNDECIDABLE
    ]


def _of_published(folder: Path) -> Iterator[Claim]:
    table = read_published(folder).set_index(["run", "metric"])["published"]
    for run, rival, part, wordings in _PUBLISHED:
        for metric, (wording, sign) in wordings.items():
            for data, (suffix, _) in DATA.items():
                names = f"{run}_{suffix}", f"{rival}_{suffix}"
                first, second = (table.get((name, metric), math.nan) for name in names)
                if not math.isnan(first - second) or metric not in ("psnr", "ssim"):
                    yield Claim(f"{wording}, {data}", part, _without_size(data), "", "ScopeFlow", "published", metric,
                                README, *names, sign, first - second)  # fmt: skip


def _of_motion() -> Iterator[Claim]:
    for data, rate, (rectified, quadratic, linear) in _MOTION:
        where = ", ".join(filter(None, (data, rate, "DIS flow")))
        fields = (data, rate, "DIS", "none", "psnr", PAPER)
        yield Claim(f"RQFP beats plain quadratic motion: PSNR, {where}", "RQFP", *fields, rectified, quadratic)
        text = f"quadratic motion beats linear motion: PSNR, {where}"
        yield Claim(text, "quadratic motion", *fields, quadratic, linear)


def _of_trajectories(rate: str) -> Iterator[Claim]:
    """Paths over eight frames, on real clips other than those of `_MOTION`."""
    where = f"PSNR, nine real scenes, {rate}, DIS flow"
    fields = ("nine real scenes", rate, "DIS", "none", "psnr")
    rows = {
        "paths over eight frames beat the paper's motion": ("trajectories", STUDY, "quadratic+8", "quadratic"),
        "paths over eight frames beat those over four": ("trajectories", STUDY, "quadratic+8", "quadratic+4"),
        "quadratic motion beats linear motion": ("quadratic motion", PAPER, "quadratic", "linear"),
        "RQFP beats plain quadratic motion": ("RQFP", PAPER, "rectified", "quadratic"),
        "RQFP beats plain quadratic motion beside paths over eight frames": (
            "RQFP", STUDY, "rectified+8", "quadratic+8",
        ),
    }  # fmt: skip
    for text, (part, source, *names) in rows.items():
        run, against = (f"trajectories_{rate}:model={name}" for name in names)
        yield Claim(f"{text}: {where}", part, *fields, source, run, against)


def _of_detail(rate: str) -> Iterator[Claim]:
    """The detail that bilinear warps lose (`eqvi.model.detail`), with and without weights, and finishing upon it."""
    where, ours = f"PSNR, nine real scenes, {rate}, DIS flow", "eqvi-quarter-dis"
    rows = {
        "detail that bilinear warps lose is worth giving back, without weights": (
            "none", "baseline+detail", "baseline",
        ),
        "detail that bilinear warps lose is worth giving back in our trained model": ("ours", f"{ours}+detail", ours),
        "the weight-free method with detail and paths over eight frames beats our trained model": (
            "none", "baseline+8+detail", ours,
        ),
        "combining the flows of both ways beats one": ("none", "baseline+8+two-way+detail", "baseline+8+detail"),
        "finishing beats the weight-free method that it starts from": (
            "ours", "finishing*", "baseline+8+two-way+detail",
        ),
        "finishing beats our trained model": ("ours", "finishing*", ours),
    }  # fmt: skip
    for text, (weights, *names) in rows.items():
        run, against = (f"detail_{rate}:model={name}" for name in names)
        part = "finishing" if names[0].startswith("finishing") else "both ways" if "two-way" in names[0] else "detail"
        yield Claim(f"{text}: {where}", part, "nine real scenes", rate, "DIS", weights, "psnr", STUDY, run, against)


def _of_ablation() -> Iterator[Claim]:
    """Rows of the ablation against each other, and each against its weight-free start."""
    for file in CLAIMED:
        data, rate = FILES[file]
        where = ", ".join(filter(None, (data, rate, "our weights")))
        for row, rival, part, wordings in _ABLATION:
            flow = "our network" if row.startswith("flow-quarter") else "DIS"
            run, against = (run_name(name, file) for name in (row, rival))
            # On real scenes PSNR alone is measured, with DIS alone.
            for metric, (wording, sign) in wordings.items() if not rate or flow == "DIS" else ():
                if metric == "psnr" or not rate:
                    source = STUDY if row == "trajectories" else PAPER
                    yield Claim(f"{wording}, {where}", part, data, rate, flow, "ours", metric, source, run, against,
                                sign)  # fmt: skip
        for row in ROWS:
            yield Claim(f"training earns over the weight-free start, {row}: PSNR, {where}", "training", data, rate,
                        "DIS", "ours", "psnr", STUDY, run_name(row, file), start_name(row, file))  # fmt: skip


def _of_our_model() -> Iterator[Claim]:
    fields, own = ("DIS", "ours", "psnr"), "model=eqvi-quarter-dis"
    yield Claim("our model beats the baseline without weights: PSNR, rendered clips", "our model", "rendered clips", "",
                *fields, STUDY, "eqvi-quarter-dis_rendered", "baseline_rendered")  # fmt: skip
    rivals = {"the baseline without weights": "baseline", "FFmpeg's minterpolate": "minterpolate"}
    for rate in ("x2", "x4"):
        for rival, model in rivals.items():
            yield Claim(f"our model beats {rival}: PSNR, real clips, {rate}", "our model", "real clips", rate,
                        *fields, STUDY, f"real_clips_{rate}:{own}", f"real_clips_{rate}:model={model}")  # fmt: skip
    # The first half of our model's training saw no window that stands still or was compressed.
    yield Claim("a mismatch of training and test data lowers PSNR: our model trained only on windows with much "
                "motion, real clips, x2", "training data", "real clips", "x2", *fields, PAPER,
                "real_clips_x2:model=narrow_first", f"real_clips_x2:{own}", -1)  # fmt: skip


def _of_motion_error() -> Iterator[Claim]:
    for source, flow in (("exact", "exact"), ("dis", "DIS")):
        rectified, quadratic, linear = (
            f"motion_error:flow={source},model={model}" for model in ("rectified", "quadratic", "linear")
        )
        where = f"error in px, rendered clips, {flow} flow"
        fields = ("rendered clips", "", flow, "none", "epe_visible", PAPER)
        text = f"RQFP is nearer the true motion than plain quadratic: {where}"
        yield Claim(text, "RQFP", *fields, rectified, quadratic, -1)
        text = f"quadratic motion is nearer the true motion than linear: {where}"
        yield Claim(text, "quadratic motion", *fields, quadratic, linear, -1)


def _without_size(data: str) -> str:
    """The data's name without the number of clips."""
    return data.partition(" (")[0]
