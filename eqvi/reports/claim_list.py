"""What is claimed of EQVI: the text of every claim, its source, and the runs that could decide it. No measurement."""

from typing import NamedTuple

from eqvi.reports.published import DATA, Figure

README, PAPER, STUDY = "README of the published code", "published text; no figure found", "this study"
_STAGE3, _STAGE4, _SCRATCH, _VGG = "stage3_rcsn_rqfp", "stage4_ms_fusion", "stage123_scratch", "stage123_scratch_vgg"

# Run, what it is compared with, and by column what is claimed and in which direction.
_LADDER = (
    (_STAGE4, _STAGE3, {"psnr": ("MS-Fusion raises PSNR", 1), "ssim": ("MS-Fusion lowers SSIM", -1)}),
    (
        _SCRATCH,
        _STAGE3,
        {
            "psnr": ("training from scratch beats stages: PSNR", 1),
            "ssim": ("training from scratch beats stages: SSIM", 1),
        },
    ),
    (
        _VGG,
        _SCRATCH,
        {
            "psnr": ("the perceptual model lowers PSNR", -1),
            "ssim": ("the perceptual model lowers SSIM", -1),
            "sharpness": ("the perceptual model is sharper (gradient energy)", 1),
            "lpips": ("the perceptual model is nearer by LPIPS", -1),
        },
    ),
)


def _models(file: str) -> tuple[str, str, str]:
    return f"{file}:model=baseline-rectified", f"{file}:model=baseline", f"{file}:model=baseline-linear"


# Where the motion models were compared: the runs with rectified, quadratic and linear motion.
_MOTION = {
    "rendered clips, DIS flow": ("rectified_rendered", "quadratic_rendered", "linear_rendered"),
    "real clips, x2, DIS flow": _models("real_clips_x2"),
    "real clips, x4, DIS flow": _models("real_clips_x4"),
    "REDS_VTSR val, DIS flow": ("rectified_val30", "quadratic_val30", "linear_val30"),
}
_FAMILY = "ablation_rendered:model="
# Rows of our own trained models (notebook 16) that decide a claim: row, what it is compared with, and by column what is
# claimed and in which direction.
_ABLATION = (
    ("quadratic", "linear", {"psnr": ("quadratic motion beats linear motion in the trained model: PSNR", 1)}),
    ("rqfp", "quadratic", {"psnr": ("RQFP beats plain quadratic motion in the trained model: PSNR", 1)}),
    (
        "flow-quarter_rqfp",
        "flow-quarter_quadratic",
        {"psnr": ("RQFP beats plain quadratic motion in the trained model, on our learned flow: PSNR", 1)},
    ),
    ("rcsn", "quadratic", {"psnr": ("RCSN beats no synthesis: PSNR", 1)}),
    ("fusion", "stages", {"psnr": ("MS-Fusion raises PSNR", 1), "ssim": ("MS-Fusion lowers SSIM", -1)}),
    (
        "scratch",
        "stages",
        {
            "psnr": ("training from scratch beats stages: PSNR", 1),
            "ssim": ("training from scratch beats stages: SSIM", 1),
        },
    ),
    (
        "perceptual",
        "scratch",
        {
            "psnr": ("the perceptual model (MS-SSIM for VGG) lowers PSNR", -1),
            "sharpness": ("the perceptual model (MS-SSIM for VGG) is sharper (gradient energy)", 1),
        },
    ),
)
# Claims about our own default model: what it beats, its run, the rival's, and where.
_OURS, _BASELINE = "model=eqvi-quarter-dis", "the baseline without weights"
_OWN = (
    (_BASELINE, "eqvi-quarter-dis_rendered", "baseline_rendered", "rendered clips"),
    *(
        (rival, f"real_clips_{rate}:{_OURS}", f"real_clips_{rate}:model={model}", f"real clips, {rate}")
        for rate in ("x2", "x4")
        for rival, model in ((_BASELINE, "baseline"), ("FFmpeg's minterpolate", "minterpolate"))
    ),
)
#: Claims that no file of results here could decide: claim, source, published, what is missing.
FOREIGN = (
    (
        "RCSN beats no synthesis, REDS_VTSR", PAPER, "",
        "no checkpoint without RCSN was published; needs REDS_VTSR and two models trained on it",
    ),
    (
        "RQFP beats plain quadratic motion in the trained model, REDS_VTSR", PAPER, "",
        "no checkpoint trained without RQFP was published; needs REDS_VTSR and two models trained on it",
    ),
    (
        "a mismatch of training and test data lowers the score sharply, REDS_VTSR", PAPER, "",
        "needs models trained on two sets of data and both sets' test clips",
    ),
    (
        "EQVI won the AIM 2020 challenge on video temporal super-resolution", README, "",
        "the truth of the 30 test clips is not public",
    ),
    (
        "EQVI is below QVI on Vimeo-90K: PSNR", "FLAVR, issue 18", "34.05 and 34.72 dB",
        "needs Vimeo-90K and both models' weights",
    ),
    (
        "EQVI is below QVI on UCF101: PSNR", "FLAVR, issue 18", "32.08 and 32.61 dB",
        "needs UCF101 and both models' weights",
    ),
)  # fmt: skip


class Difference(NamedTuple):
    """A claim that a run is above (`sign` 1) or below (-1) another in a column, by `published` if that is known."""

    text: str
    source: str
    run: str
    against: str
    column: str = "psnr"
    sign: int = 1
    published: float | None = None


def differences(stated: list[Figure]) -> list[Difference]:
    """The claims that compare two runs: those of the published table, then those that no figure was published for."""
    values = {(one.run, column): getattr(one, column) for one in stated for column in ("psnr", "ssim")}
    found = []
    for run, against, wordings in _LADDER:
        for column, (wording, sign) in wordings.items():
            for data, (suffix, _) in DATA.items():
                first, second = f"{run}_{suffix}", f"{against}_{suffix}"
                pair = [values.get((name, column)) for name in (first, second)]
                stated_gain = None if None in pair else float(str(pair[0])) - float(str(pair[1]))
                if stated_gain is not None or column not in ("psnr", "ssim"):
                    text = f"{wording}, {data}"
                    found.append(Difference(text, README, first, second, column, sign, stated_gain))
    for place, (rectified, quadratic, linear) in _MOTION.items():
        found.append(Difference(f"RQFP beats plain quadratic motion: PSNR, {place}", PAPER, rectified, quadratic))
        found.append(Difference(f"quadratic motion beats linear motion: PSNR, {place}", PAPER, quadratic, linear))
    for row, against, wordings in _ABLATION:
        for column, (wording, sign) in wordings.items():
            text = f"{wording}, rendered clips, our weights"
            found.append(Difference(text, PAPER, f"{_FAMILY}{row}_*", f"{_FAMILY}{against}_*", column, sign))
    for rival, run, against, place in _OWN:
        found.append(Difference(f"our model beats {rival}: PSNR, {place}", STUDY, run, against))
    # The first half of the default model's training saw no window that stands still or was compressed.
    mismatch = (
        "a mismatch of training and test data lowers PSNR: our model trained on lively windows alone, real clips, x2"
    )
    found.append(Difference(mismatch, PAPER, "real_clips_x2:model=narrow_first", f"real_clips_x2:{_OURS}", sign=-1))
    for source, given in (("exact", "exact flow"), ("dis", "DIS flow")):
        runs = [f"motion_error:flow={source},model={model}" for model in ("rectified", "quadratic", "linear")]
        for text, better, worse in zip(
            (
                "RQFP is nearer the true motion than plain quadratic",
                "quadratic motion is nearer the true motion than linear",
            ),
            runs,
            runs[1:],
            strict=False,
        ):
            wording = f"{text}: error in px, rendered clips, {given}"
            found.append(Difference(wording, PAPER, better, worse, "epe_visible", -1))
    return found
