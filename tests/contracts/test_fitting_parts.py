"""An adversary of a user's own that fits something beforehand is tried before the first message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.own_parts import AWGN, adversary, column, refused, study, use

from channelsim.runs import run as campaign
from channelsim.runs.replay import replay
from channelsim.scenario import Scenario

FITTING = adversary(
    "Fitting",
    "PERTURB",
    """
    fits = True
    access: Access = Access()
    def fit(self, radius, rows, draw):
        FIT
    """,
)
MEAN = "signal, known = draw(rows.message[:48]); return -signal.mean(0)"
AS_FITTED = "return rows.fitted, ok(signal)"


def fitting(folder: Path, fit: str = MEAN, perturb: str = AS_FITTED, **more: Any) -> Path:
    code = "from channelsim.contracts.access import Access\n" + FITTING
    code = code.replace("FIT", fit).replace("PERTURB", perturb)
    attack = use("Fitting", budget={"norm": "l2", "epsilon": 0.5}, **more)
    return study(folder, code, path=[attack, AWGN])


@pytest.mark.parametrize(
    ("fit", "perturb", "said"),
    [
        (
            "return draw(rows.message)[0].no_such()",
            AS_FITTED,
            "adversary fitting: fit raised AttributeError: 'Tensor' object has no attribute"
            " 'no_such' (line ",
        ),
        (
            "return rows.columns['nothing']",
            AS_FITTED,
            "adversary fitting: fit raised KeyError: 'nothing' (line ",
        ),
        ("return 3.0", AS_FITTED, "adversary fitting: fit must return a tensor, returned a float"),
        (
            "return torch.randn(64)",
            AS_FITTED,
            "Fitting.fit answers differently when asked twice (what it fits changes by",
        ),
        (
            MEAN,
            "return rows.fitted - rows.fitted.new_tensor(range(len(signal)))[:, None], ok(signal)",
            "Fitting.perturb depends on a row's place in the block",
        ),
        (
            MEAN,
            "return rows.fitted[:, 1:], ok(signal)",
            "adversary fitting: perturb must return a perturbation of shape [16, 64], returned"
            " shape [16, 63]",
        ),
        (
            "signal, known = draw(rows.message[:8]); return known.knowledge.decode(signal[:, 1:])",
            AS_FITTED,
            "codec Means: decode takes latents of shape [8, 64], was given shape [8, 63]",
        ),
    ],
)
def test_what_would_end_the_calibration_is_said_before_it(
    tmp_path: Path, fit: str, perturb: str, said: str
) -> None:
    message = refused(fitting(tmp_path, fit, perturb))
    assert said in message
    assert "path[0].use: " in message


@pytest.mark.parametrize(
    "fit",
    [
        MEAN,
        "return -draw(rows.message)[0].mean(0)",
        "return -draw(np.arange(300))[0].mean(0)",  # more than are tried, fewer than there are
        # A gradient is followed, as in the run.
        """
        signal, known = draw(rows.message[:8])
        leaf = signal.clone().requires_grad_()
        loss = (known.knowledge.decode(leaf) - known.knowledge.source).square().sum()
        return torch.autograd.grad(loss, leaf)[0].mean(0)
        """,
        "return rows.uniform(1, 'start')[0, 0] * torch.ones(64)",
        "return torch.tensor(radius)",
    ],
)
def test_one_that_fits_well_runs_and_is_replayed(tmp_path: Path, fit: str) -> None:
    perturb = "return rows.fitted.reshape(len(signal), -1).expand_as(signal), ok(signal)"
    run = campaign.run(fitting(tmp_path, fit, perturb), out=tmp_path / "run")
    assert np.isfinite(column(run, "mse_source")).all()
    assert (column(run, "delta_l2") <= 0.5).all()
    assert not replay(run.folder, 3, allow_code=True).flips


def test_before_the_encoder_it_is_shown_pixels(tmp_path: Path) -> None:
    fit = "assert draw(rows.message[:4])[0].shape == (4, 1024); return torch.ones(1024)"
    Scenario.load(fitting(tmp_path, fit, access={"place": "before_encoder"}))


def test_with_the_least_effort_that_it_knows(tmp_path: Path) -> None:
    file = fitting(tmp_path, "assert self.name == 'spared'; return torch.ones(64)")
    text = (tmp_path / "mine.py").read_text(encoding="utf-8")
    spared = '    def brief(self):\n        return type(self)(name="spared", budget=self.budget)\n'
    (tmp_path / "mine.py").write_text(text + spared, encoding="utf-8")
    Scenario.load(file)


def test_what_the_sparing_one_writes_into_is_told(tmp_path: Path) -> None:
    file = fitting(tmp_path, "rows.mean.zero_(); return torch.ones(64)")
    text = (tmp_path / "mine.py").read_text(encoding="utf-8")
    spared = "    def brief(self):\n        return type(self)(budget=self.budget)\n"
    (tmp_path / "mine.py").write_text(text.rstrip() + "\n" + spared, encoding="utf-8")
    said = "adversary fitting: fit writes into its argument rows.mean:"
    assert any(said in notice for notice in Scenario.load(file).notices)
