"""What was found, in a few sentences: README, the first notebook and the site's first page say the same.

A sentence stands here; its estimates and intervals come from the ledger of claims, and it names the verdicts on which
it relies. A verdict that changes makes `findings` refuse, so that no sentence outlives its evidence.
"""

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from eqvi.errors import InputError
from eqvi.paths import RESULTS
from eqvi.reports import ablation, claims, error_budget, proved
from eqvi.reports.claim_list import COMMAND, OF_PAPER, OF_STUDY
from eqvi.reports.claim_list import README as CODE
from eqvi.reports.runs import NEEDS_WEIGHTS
from eqvi.reports.tables import signed
from eqvi.reports.verdict_rule import FAILS, HOLDS, MISSING, OPEN

#: Claims of one question, first to last choice: the first that was measured stands in the sentence.
Choice = str | tuple[str, ...]


class Statement(NamedTuple):
    """One thing that was found.

    Attributes:
        title: in a few words.
        sentence: Markdown with a place ``{}`` for the estimate of each choice, ``{budget:VARIANT}`` for what that
            gains by the error budget, and ``{gpu:ROW}`` for what that row of the ablation earned on a GPU; links as
            seen from the project's folder.
        choices: the claims whose estimates stand in it, each followed by "(not decided)" where it is not.
        relied: the verdicts on which title and sentence rely, by claim.
        picture: a file in ``figures/``.
        evidence: words and target of a link.
    """

    title: str
    sentence: str
    choices: tuple[Choice, ...]
    relied: dict[str, str]
    picture: str
    evidence: tuple[str, str]


class Finding(NamedTuple):
    """A statement with its figures; `picture` and `evidence` as there."""

    title: str
    sentence: str
    picture: str
    evidence: tuple[str, str]

    @property
    def markdown(self) -> str:
        """Title, sentence and links."""
        words, target = self.evidence
        return f"**{self.title}** {self.sentence} Evidence: [{words}]({target}), [picture](figures/{self.picture})."


_REAL = "PSNR, nine real scenes, x2, DIS flow"
_QUADRATIC = "quadratic motion beats linear motion in the trained model: PSNR, rendered clips, our weights"
_RQFP = "RQFP beats plain quadratic motion in the trained model: PSNR, rendered clips, our weights"
_RQFP_OWN_FLOW = (
    "RQFP beats plain quadratic motion in the trained model, on our learned flow: PSNR, rendered clips, our weights"
)
_RCSN = "RCSN beats no synthesis: PSNR, rendered clips, our weights"
_TRAINED_REAL = "PSNR, nine real scenes, x2, our weights"
_UNEARNED = "training earns over the weight-free start, quadratic: PSNR, rendered clips, our weights"
_FUSION = "MS-Fusion raises PSNR, rendered clips, our weights"
_SCRATCH = "training from scratch beats stages: PSNR, rendered clips, our weights"
_OURS = "our model beats the baseline without weights: PSNR, "
_SCENES = "PSNR, nine real scenes"
_DETAIL = "detail that bilinear warps lose is worth giving back"
_FINISHING = tuple(
    f"finishing beats {what}: {_SCENES}, {rate}, DIS flow"
    for what in ("the weight-free method that it starts from", "our trained model")
    for rate in ("x2", "x4")
)
_TWO_WAY = tuple(f"combining the flows of both ways beats one: {_SCENES}, {rate}, DIS flow" for rate in ("x2", "x4"))
_SPAN = "a clip's highest and lowest reading of PSNR differ by more than the largest published gain, rendered clips"

#: The answer in short; it relies on verdicts that `STATEMENTS` rely on.
IN_SHORT = (
    "**In short:** quadratic motion pays. Of what EQVI adds to it, RQFP costs, MS-Fusion changes nothing and RCSN "
    "earns a few hundredths of a decibel, in the small models that could be trained here; whether the published "
    "weights do better is not measured. The best frames here come from a part that is not in the paper: a small "
    "network that decides how much each warped picture counts."
)
STATEMENTS = (
    Statement(
        "Quadratic motion helps.",
        "Over linear motion it gains {} in trained models and {} with nothing learned; on real footage {} in trained "
        "models and {} with nothing learned.",
        (
            _QUADRATIC,
            "quadratic motion beats linear motion: PSNR, rendered clips, DIS flow",
            f"quadratic motion beats linear motion in the trained model: {_TRAINED_REAL}",
            f"quadratic motion beats linear motion: {_REAL}",
        ),
        {_QUADRATIC: HOLDS, f"quadratic motion beats linear motion in the trained model: {_TRAINED_REAL}": HOLDS},
        "22_motion_claims.png",
        ("notebook 22", "notebooks/22_claims.ipynb"),
    ),
    Statement(
        "RQFP does not help here.",
        "On rendered clips, rectifying the parabola changes PSNR by {} in trained models, by {} in trained models on "
        "the flow of our own network instead of DIS, and by {} with nothing learned; on real footage by {} in trained "
        "models and by {} with nothing learned.",
        (
            _RQFP,
            _RQFP_OWN_FLOW,
            "RQFP beats plain quadratic motion: PSNR, rendered clips, DIS flow",
            f"RQFP beats plain quadratic motion in the trained model: {_TRAINED_REAL}",
            f"RQFP beats plain quadratic motion: {_REAL}",
        ),
        {
            _RQFP: FAILS,
            _RQFP_OWN_FLOW: FAILS,
            f"RQFP beats plain quadratic motion in the trained model: {_TRAINED_REAL}": FAILS,
        },
        "23_rqfp.png",
        ("notebook 23", "notebooks/23_ablation.ipynb"),
    ),
    Statement(
        "Where on its path a pixel stands matters more than which pixels match.",
        "If somebody who knows the frame in the middle supplied the true place on the path, nine real scenes at x2 "
        "would gain {budget:true common part}; with the true match alone, {budget:true difference}; with both, "
        "{budget:both true}. On these scenes, whose cameras hardly shake, paths over eight frames, without weights, "
        "earn {} at x2 and {} at x4; on one rendered shake, drawn so that frames can follow it, they earn decibels "
        "([notebook 03b](notebooks/03b_longer_trajectories.ipynb)).",
        (
            "paths over eight frames beat the paper's motion: PSNR, nine real scenes, x2, DIS flow",
            "paths over eight frames beat the paper's motion: PSNR, nine real scenes, x4, DIS flow",
        ),
        {},
        "24_budget.png",
        ("the error budget", "results/README.md#the-error-budget"),
    ),
    Statement(
        "What the paper's learned parts earn is small: RCSN a little, refinement, mask and MS-Fusion nothing.",
        "RCSN adds {} on rendered clips, and {} on real ones at x2, to small models that start as the weight-free "
        "method and are trained for minutes; refinement and mask alone earn {} over their start. The fusion of two "
        "scales, with only the fusion network trained, and briefly, changes PSNR by {}, far below the 0.02 dB that "
        "count. Training all parts together instead of by stages changes it by {}. With nearly four times the windows, "
        "on a GPU, refinement and mask earn {gpu:linear} over linear and {gpu:quadratic} over quadratic motion at x2 "
        "on nine real scenes, with RCSN {gpu:rcsn}; finishing, a part of our own, earns {gpu:finishing} from the same "
        "windows.",
        (_RCSN, f"RCSN beats no synthesis: {_TRAINED_REAL}", _UNEARNED, _FUSION, _SCRATCH),
        {_RCSN: HOLDS, _UNEARNED: FAILS, _FUSION: FAILS, _SCRATCH: OPEN},
        "23_earned.png",
        ("notebook 23", "notebooks/23_ablation.ipynb"),
    ),
    Statement(
        "Fine detail lost in warping, given back, lowers the PSNR of our trained model.",
        "What bilinear warps lose of it, given back where both frames agree, earns {} at x2 and {} at x4 on nine real "
        "scenes, without weights; in our trained model, which may have learned to make up for it, it changes PSNR by "
        "{} at x2. The weight-free method with this and with paths over eight frames differs from that trained model "
        "by {} at x2.",
        (
            f"{_DETAIL}, without weights: {_SCENES}, x2, DIS flow",
            f"{_DETAIL}, without weights: {_SCENES}, x4, DIS flow",
            f"{_DETAIL} in our trained model: {_SCENES}, x2, DIS flow",
            f"the weight-free method with detail and paths over eight frames beats our trained model: {_SCENES}, x2, "
            "DIS flow",
        ),
        {f"{_DETAIL} in our trained model: {_SCENES}, x2, DIS flow": FAILS},
        "04b_gains.png",
        ("notebook 04b", "notebooks/04b_lost_detail.ipynb"),
    ),
    Statement(
        "Flow found both ways is worth combining.",
        "Between two frames DIS finds flow twice, once from either frame. Weighed by how well each of them fits, the "
        "two make a better one: it earns {} at x2 and {} at x4 on nine real scenes, without weights. The published "
        "code computes every flow both ways, and combines none.",
        _TWO_WAY,
        dict.fromkeys(_TWO_WAY, HOLDS),
        "02_two_way.png",
        ("notebook 02", "notebooks/02_optical_flow.ipynb"),
    ),
    Statement(
        "A small network that weighs pictures is ahead of our trained EQVI.",
        "Finishing, which is not in the paper, decides pixel by pixel how much the warps of four frames and their "
        "detail count, and softens what nobody can place: it reads ratios of local differences and how the paths of "
        "the pixels bend, and sees no colours. Trained for minutes on a GPU, on rendered windows, on real footage it "
        "earns {} at x2 and {} at x4 over the weight-free method that it starts from, the "
        "one with eight frames, flow of both ways and detail; over our trained EQVI, which is far larger, it is ahead "
        "by {} at x2 and {} at x4.",
        _FINISHING,
        dict.fromkeys(_FINISHING, HOLDS),
        "05b_gains.png",
        ("notebook 05b", "notebooks/05b_finishing.ipynb"),
    ),
    Statement(
        "Whether our weights for the paper's parts beat the same method without weights is not decided.",
        "Those of `eqvi-quarter-dis` gain {} on rendered clips; on real footage it is {} at x2 (twice the frames), and "
        "{} at x4.",
        tuple(f"{_OURS}{where}" for where in ("rendered clips", "real clips, x2", "real clips, x4")),
        {f"{_OURS}{where}": OPEN for where in ("rendered clips", "real clips, x2", "real clips, x4")},
        "10_psnr.png",
        ("by clip", "results/README.md#on-real-footage"),
    ),
    Statement(
        "Conventions outweigh models.",
        "The PSNR of one clip's same frames, computed in the usual ways, spans {} from lowest to highest; the "
        "published differences made by one part, or one way of training, are {published}.",
        (_SPAN,),
        {_SPAN: HOLDS},
        "20_conventions.png",
        ("notebook 20", "notebooks/20_results_table.ipynb"),
    ),
)


def findings(folder: Path = RESULTS) -> list[Finding]:
    """What was found: `STATEMENTS` with estimates and intervals from the ledger, as notebook 22 has written it.

    Raises:
        InputError: there is no ledger, or a claim has another verdict in it than its sentence relies on.
    """
    ledger = claims.read(folder)
    by_claim = ledger.set_index("claim")
    of_models = ledger.query("kind == 'difference' and metric == 'psnr'")
    sizes = of_models.loc[of_models["source"] == CODE, "published"].abs()
    published = f"{sizes.min():.4f} to {sizes.max():.4f} dB"
    on_gpu = ablation.earned(folder, ablation.GPU_ROWS, ablation.GPU_FILES).xs("nine real scenes, x2", level="data")
    found, budget, gpu = [], _Gains(error_budget.budget(folder, "error_budget_x2")), _Gains(on_gpu)
    for statement in STATEMENTS:
        for claim, verdict in statement.relied.items():
            if by_claim.loc[claim, "verdict"] != verdict:
                raise InputError(
                    f"README says of {claim!r} that it {verdict}, the ledger says {by_claim.loc[claim, 'verdict']!r}: "
                    "rewrite that sentence in eqvi/reports/findings.py"
                )
        numbers = [_number(by_claim, choice) for choice in statement.choices]
        sentence = statement.sentence.format(*numbers, published=published, budget=budget, gpu=gpu)
        found.append(Finding(statement.title, sentence, statement.picture, statement.evidence))
    return found


def three_lists(folder: Path = RESULTS) -> list[str]:
    """What of each list is decided: claims of the paper, of this study, properties. They are never added up."""
    ledger = claims.read(folder)
    paper = ledger[ledger["list"] == OF_PAPER]
    missing, decided = paper[paper["verdict"] == MISSING], paper[paper["verdict"] != MISSING]
    scores = (missing["kind"] == "figure").sum()
    measurable = (missing["reason"] == NEEDS_WEIGHTS).sum()
    ends = [f"{one.claim}: {one.verdict} ({one.reason})" for one in decided.itertuples()]
    others = f" {len(ends)} decided: {'; '.join(ends)}." if ends else ""
    own = claims.counts(ledger, OF_STUDY)
    return [
        f"**Claims of the paper**, about the published weights: {len(missing)} are not measured here, the {scores} "
        f"published scores among them. `{COMMAND}` measures {measurable} of them; the others need yet other data "
        f"or weights.{others}",
        f"**Claims of this study**, about its own models and scenes: {own[HOLDS]} hold, {own[FAILS]} do not, "
        f"{own[OPEN]} are not decided, {own[MISSING]} are not measured "
        "([each with its evidence](results/README.md#claims), [the rule](notebooks/22_claims.ipynb)).",
        f"**Properties proved by tests**: {len(proved.PROPERTIES)} ([list](results/README.md#proved-by-tests)).",
    ]


def as_list(folder: Path = RESULTS) -> str:
    """The answer in short, then findings and the three lists as one list; links are from the project's folder.

    Raises:
        InputError: as `findings`.
    """
    texts = [*(one.markdown for one in findings(folder)), *three_lists(folder)]
    return "\n".join((f"{IN_SHORT}\n", *(f"- {text}" for text in texts)))


class _Gains:
    """Formats a row's name as what it gains.

    Args:
        table: columns of `Estimate`, by name.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        self._table = table

    def __format__(self, name: str) -> str:
        line = self._table.loc[name]
        return f"not measured ({line['reason']})" if line["reason"] else _in_db(*line[["estimate", "low", "high"]])


def _number(by_claim: pd.DataFrame, choice: Choice) -> str:
    """The estimate of the first measured claim of a choice, as it stands in a finding."""
    names = [choice] if isinstance(choice, str) else list(choice)
    rows = list(by_claim.loc[names].itertuples())
    line = next((row for row in rows if row.verdict != MISSING), rows[0])
    if line.verdict == MISSING:
        return f"not measured ({line.reason})"
    where = f" on {line.scenes} scenes" if "real" in line.data else ""
    undecided = " (too few to decide)" if pd.isna(line.p) else " (not decided)"
    return f"{_with_interval(line)}{where}{undecided if line.verdict == OPEN else ''}"


def _with_interval(line: Any) -> str:
    """A line of the ledger as estimate and interval."""
    return _in_db(line.estimate, line.low, line.high, line.kind != "span")


def _in_db(estimate: float, low: float, high: float, sign: bool = True) -> str:
    """An estimate and its interval in dB, with as many digits as the interval is wide."""
    places = 3 if high - low < 0.1 else 2
    first, second, third = (
        signed(number, places) if sign else f"{number:.{places}f}" for number in (estimate, low, high)
    )
    return f"{first} dB [{second}, {third}]"
