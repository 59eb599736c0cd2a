"""How frames look, from files of rows."""

import pandas as pd
import pytest

from eqvi.reports.detail_rows import BASELINE, START, looks


def test_sharpness_is_that_of_all_frames_over_that_of_the_true_ones(tmp_path):
    rows = [
        {"model": model, "dataset": "left out", "clip": "a", "frame": f"{n}", "t": 0.5, "psnr": 30 + n, "ssim": 0.9,
         "sharpness": 50.0 * n, "sharpness_truth": 100.0 * n}
        for model in (BASELINE, START, "finishing") for n in (1, 3)
    ]  # fmt: skip
    for rate in ("x2", "x4"):
        pd.DataFrame(rows).to_csv(tmp_path / f"real_clips_{rate}.csv", index=False)
        (tmp_path / f"real_clips_{rate}.json").write_text("{}")
    found = looks(tmp_path)
    assert list(found.index.get_level_values("model")) == 2 * [BASELINE, START, "finishing"]
    assert found["psnr"].tolist() == pytest.approx(6 * [32.0])
    assert found["sharpness"].tolist() == pytest.approx(6 * [0.5])
