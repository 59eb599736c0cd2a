"""Data frames as people read them, in notebooks (`styled`) and in documents and terminals (`markdown`).

Both show the same text (`readable`): numbers with their digits, an estimate and its interval in one cell, and where a
value is missing, the reason. The frames themselves stay as they are: a reader can slice, sort and join them.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
from pandas.io.formats.style import Styler

from eqvi.markdown import markdown_table, numeric_columns
from eqvi.reports.published import four_digits

#: A format specification, or a function from number to text.
Format = str | Callable[[float], str]
#: How columns are headed where their name, with spaces for underscores, does not do.
TITLES = {
    "estimate": "dB, 95 % interval",
    "clips": "scenes",
    "sign_p": "sign test, p",
    "ahead": "scenes on which it is ahead",
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
    "rcsn": "RCSN",
    "ms_fusion": "MS-Fusion",
    "sharpness": "sharpness / truth's",
}
#: How numbers are written, by column; other floats have three digits.
FORMATS: dict[str, Format] = {
    "estimate": "+.3f", "sign_p": ".3g", "parameters": ",", "psnr": ".2f", "ssim": ".4f", "published": four_digits,
    "difference": "+.4f", "value": ".4f", "from_primary": "+.4f", "from_published": "+.4f",
}  # fmt: skip
#: Columns of `Estimate` that readers are spared.
_HIDDEN = ("spread", "reason")


def readable(
    frame: pd.DataFrame,
    titles: Mapping[str, str] | None = None,
    digits: int = 3,
    missing: str = "",
    **formats: Format,
) -> pd.DataFrame:
    """A data frame as text.

    Columns ``X, X_low, X_high`` (``estimate, low, high``) become one, ``X [low, high]``; the column ``reason`` is
    written where the estimate or its interval is missing. An index without a name is left out; a named column index
    means that the columns are called by data (models, say), which stays as it is.

    Args:
        frame: whatever its columns.
        titles: of columns, besides `TITLES`.
        digits: of floats that have no format.
        missing: what stands for a missing value that has no reason.
        formats: how numbers of a column are written, besides `FORMATS`, as in ``psnr=".4f"``.
    """
    titles, formats = {**TITLES, **(titles or {})}, {**FORMATS, **formats}
    reasons = frame["reason"] if "reason" in frame else [""] * len(frame)
    text = {name: frame.index.get_level_values(name).map(str) for name in frame.index.names if name is not None}
    intervals = {column: ("low", "high") if column == "estimate" else (f"{column}_low", f"{column}_high")
                 for column in frame}  # fmt: skip
    bounds = {name for pair in intervals.values() for name in pair}
    for column in frame.columns.difference([*_HIDDEN, *bounds], sort=False):
        form = formats.get(column, f".{digits}f" if pd.api.types.is_float_dtype(frame[column]) else "")
        low, high = intervals[column]
        if low in frame:
            rows = zip(frame[column], frame[low], frame[high], reasons, strict=True)
            text[column] = [_with_interval(*row, form) for row in rows]
        else:
            text[column] = [_written(value, form) or missing for value in frame[column]]
    plain = {name: str(name) if frame.columns.name else str(name).replace("_", " ") for name in text}
    return pd.DataFrame({titles.get(name, plain[name]): list(text[name]) for name in text}, dtype=str)


def signed(value: float, places: int) -> str:
    """A number with a sign, and without one where it is rounded to zero."""
    text = f"{value:+.{places}f}"
    return text if float(text) else text[1:]


def across(frame: pd.DataFrame, over: str, **options: Any) -> pd.DataFrame:
    """Estimates as text: a column for each value of the index's level `over`, a row for each of the other."""
    cells = readable(frame[["estimate", "low", "high", "reason"]].reset_index(drop=True), **options).iloc[:, 0]
    wide = pd.Series(cells.to_numpy(), frame.index).unstack(over, sort=False)
    return wide.reset_index().rename_axis(columns=None)


class Table(Styler):
    """A styled table whose plain text is the table as well."""

    def __repr__(self) -> str:
        return self.data.to_string(index=False)


def styled(frame: pd.DataFrame, **options: Any) -> Table:
    """`readable` (its options) for a notebook: numbers to the right, intervals unbroken; equal text, equal HTML."""
    text = readable(frame, **options)
    sides = ["right" if right else "left" for right in numeric_columns(text.to_numpy().tolist(), len(text.columns))]
    styles = {
        column: [{"selector": "", "props": f"text-align: {side}; vertical-align: top"}]
        for column, side in zip(text, sides, strict=True)
    }
    unbroken = text.map(lambda cell: re.sub(r"\[(\S+), (\S+)\]", "[\\1,\N{NO-BREAK SPACE}\\2]", cell))
    digest = hashlib.sha256(text.to_csv().encode()).hexdigest()[:8]
    return Table(unbroken, uuid=digest, cell_ids=False, escape="html").hide(axis="index").set_table_styles(styles)


def markdown(frame: pd.DataFrame, aligned: bool = False, **options: Any) -> str:
    """`readable`, with its options, as a Markdown table; its cells are padded if `aligned`, for a terminal."""
    text = readable(frame, **options)
    return markdown_table(list(text), text.to_numpy().tolist(), aligned)


def _with_interval(value: float, low: float, high: float, reason: str, form: Format) -> str:
    if pd.isna(value):
        return f"not measured: {reason}" if reason else ""
    text = _written(value, form)
    if pd.isna(low):
        return f"{text} ({reason})" if reason else text
    return f"{text} [{_written(low, form)}, {_written(high, form)}]"


def _written(value: Any, form: Format) -> str:
    if isinstance(value, str) or pd.isna(value):
        return value if isinstance(value, str) else ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return form(value) if callable(form) else format(value, form)
