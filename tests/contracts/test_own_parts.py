"""Parts of a user's own: they change no other part's numbers, and their declarations are used.

Every part named by `use:` is tried before the first message; a later exception is reported as its
own, with its line and the message; its declarations are in the header and read from there.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.own_parts import (
    AWGN,
    adversary,
    column,
    corner_pictures,
    detector,
    line_of,
    metric,
    refused,
    stage,
    stopped,
    study,
    use,
)

from channelsim.analysis.places import hardest
from channelsim.contracts.scales import damage_metric, scale_of
from channelsim.display.live.info import RunInfo
from channelsim.ledger import Ledger
from channelsim.runs import run as campaign
from channelsim.runs.replay import replay
from channelsim.scenario import Scenario
from channelsim.support.errors import InputError


@pytest.fixture
def pictures(tmp_path: Path) -> dict[str, Any]:
    return corner_pictures(tmp_path)


# --- rows that are not their own, answers that do not repeat ------------------------------------

COUPLED = {
    "receivers.mine.detector": [
        (
            "(latents - latents.mean(0)).square().sum(1)",
            "Judge.score couples rows: row 0 changes by",
        ),
        (
            "latents.square().sum(1) + torch.arange(len(latents))",
            "Judge.score depends on a row's place in the block",
        ),
        (
            "latents.square().sum(1) / len(latents)",
            "Judge.score depends on how many rows are in the block",
        ),
        ("latents.square().sum(1) * torch.rand(1)", "Judge.score answers differently when"),
        (
            "latents.square().sum(1)[:-1]",
            "detector judge: score must return shape [16], returned shape [15]",
        ),
        ("(latents.square().sum(1) - 1e9).sqrt()", "detector judge: score returned NaN"),
    ],
    "path[0]": [
        ("signal - signal.mean(0)", "Bend.cross couples rows: row 0 changes by"),
        ("signal + 0.1 * torch.randn(signal.shape)", "crosses it differently the second"),
        (
            "signal * torch.arange(len(signal))[:, None]",
            "Bend.cross depends on a row's place in the block",
        ),
        (
            "signal[:, 1:]",
            "stage bend: cross must return shape [16, 64], returned shape [16, 63]",
        ),
        ("signal / signal.amin(1, keepdim=True).sub(0.3)", "stage bend: cross returned NaN"),
        ("None", "stage bend: cross must return shape [16, 64], returned a NoneType"),
    ],
}


@pytest.mark.parametrize(
    ("place", "body", "said"),
    [(place, body, said) for place, several in COUPLED.items() for body, said in several],
)
def test_detectors_and_stages_must_treat_every_row_alone_and_alike(
    tmp_path: Path, place: str, body: str, said: str
) -> None:
    if place == "path[0]":
        message = refused(study(tmp_path, stage("Bend", f"return {body}"), path=[use("Bend")]))
    else:
        receivers = {"mine": {"codec": use("Means"), "detector": use("Judge")}}
        message = refused(study(tmp_path, detector("Judge", f"return {body}"), receivers))
    assert said in message
    assert f"  {place}.use: " in message


def test_an_adversary_that_couples_rows_is_refused_and_a_gradient_attack_is_not(
    tmp_path: Path,
) -> None:
    uphill = """
    with torch.enable_grad():
        leaf = signal.clone().requires_grad_()
        loss = (knowledge.decode(leaf) - knowledge.source).square().sum()
        (slope,) = torch.autograd.grad(loss, leaf)
    return radius[:, None] * slope.sign(), ok(signal)
    """
    crowd = "return signal.mean(0).expand_as(signal) - signal, ok(signal)"
    code = adversary("Crowd", crowd) + adversary("Uphill", uphill)
    budget = {"norm": "linf", "epsilon": 0.1}
    message = refused(study(tmp_path, code, path=[use("Crowd", budget=budget)]))
    assert "Crowd.perturb couples rows" in message
    file = study(tmp_path, code, path=[use("Uphill", budget=budget), AWGN])
    run = campaign.run(file, out=tmp_path / "run")
    assert column(run, "delta_linf") == pytest.approx(0.1)


def test_two_constructions_must_agree(tmp_path: Path) -> None:
    code = """
    class Random(Means):
        def __init__(self, seed=None):
            super().__init__()
            generator = torch.Generator()
            generator.manual_seed(seed) if seed is not None else generator.seed()
            self.mix = nn.Parameter(torch.randn(64, 64, generator=generator) / 8)
        def encode(self, images):
            return super().encode(images) @ self.mix

    """
    message = refused(study(tmp_path, code, {"mine": {"codec": use("Random")}}))
    assert "Random.encode answers differently when the part is constructed a second time" in message
    assert "load weights from a file, or draw them from a generator with a fixed seed" in message
    Scenario.load(study(tmp_path, code, {"mine": {"codec": use("Random", seed=3)}}))
    once = """
    USED = []

    class Once(Means):
        def __init__(self):
            super().__init__()
            assert not USED, "taken"
            USED.append(1)
    """
    message = refused(study(tmp_path, once, {"mine": {"codec": use("Once")}}))
    assert "it can be constructed only once (Once(…) raised AssertionError: taken (line" in message
    drifts = """
    def __post_init__(self):
        object.__setattr__(self, "scale", 1.0 + next(COUNT))
    """
    code = "COUNT = iter(range(100))\n" + metric(
        "Drifting", "return self.scale * apart(images, references)", drifts
    )
    message = refused(study(tmp_path, code, metrics=[use("Drifting")]))
    assert "Drifting.measure answers differently when the part is constructed a second" in message


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "z / z.norm(dim=1, keepdim=True)",
            "Odd.encode returned NaN or infinity for a black image",
        ),
        ("z / (1 - z)", "Odd.encode returned NaN or infinity for a white image"),
        ("z + torch.arange(len(z))[:, None]", "Odd.encode depends on a row's place in the block"),
        ("z * len(z)", "Odd.encode depends on how many rows are in the block"),
        ("1e-5 * (z - z.mean(0))", "Odd.encode couples rows: row 0 changes by"),
    ],
)
def test_a_codec_is_tried_on_black_and_white_and_in_any_block(
    tmp_path: Path, body: str, said: str
) -> None:
    code = f"""
    class Odd(Means):
        def encode(self, images):
            z = F.avg_pool2d(images, 4).flatten(1)
            return {body}
    """
    assert said in refused(study(tmp_path, code, {"mine": {"codec": use("Odd")}}))


def test_differences_in_the_last_bit_are_no_reason_to_refuse(tmp_path: Path) -> None:
    code = """
    class Shifty(Means):
        def encode(self, images):
            z = super().encode(images)
            return z * (1 + 1e-7 * (torch.arange(len(z)) % 2)[:, None])
    """
    Scenario.load(study(tmp_path, code, {"mine": {"codec": use("Shifty")}}))


# --- exceptions of user code --------------------------------------------------------------------

SLIP = stage("Mistaken", 'return signal * rows["no_such_column"][:, None]  # here')


def test_a_slip_in_a_stage_is_told_before_the_run_with_its_line(tmp_path: Path) -> None:
    message = refused(study(tmp_path, SLIP, path=[use("Mistaken")]))
    assert message.endswith(
        f"path[0].use: stage mistaken: cross raised KeyError: 'no_such_column' (line"
        f" {line_of(SLIP)} of mine.py); that is code of your own"
    )


LATE = {
    "codec": (
        """
        class Late(Means):
            def encode(self, images):
                if marked(images).any():
                    raise ValueError("a bright corner")  # here
                return super().encode(images)
        """,
        {"receivers": {"mine": {"codec": use("Late")}}},
        "codec Late: encode raised ValueError: a bright corner (line {} of mine.py); that is code"
        " of your own: receiver mine, 8 messages, 16 to 23",
    ),
    "metric": (
        metric(
            "Late",
            """
            if marked(references).any():
                [][1]  # here
            return apart(images, references)
            """,
        ),
        {"metrics": [use("Late")]},
        "metric late: measure raised IndexError: list index out of range (line {} of mine.py); that"
        " is code of your own: images 0 to 23 of those sent",
    ),
    "stage": (
        stage(
            "Late",
            """
            assert not (rows.message == 20).any() or rows.name != "late", "twenty"  # here
            return signal * 1.0
            """,
        ),
        {"path": [use("Late")]},
        "stage late: cross raised AssertionError: twenty (line {} of mine.py); that is code of your"
        " own: receiver mine, 8 messages, 16 to 23",
    ),
    "adversary": (
        adversary(
            "Late",
            """
            wrong = len(signal) == 8 and 20 in rows.message
            return (signal[:, 1:] if wrong else signal), ok(signal)
            """,
        ),
        {"path": [use("Late", budget={"epsilon": 0.1})]},
        "adversary late: perturb must return a perturbation of shape [8, 64], returned shape"
        " [8, 63]",
    ),
    "property": (
        adversary(
            "Late",
            "return signal, ok(signal)",
            """
            @property
            def effort(self):
                return {"queries": 1 / 0}  # here
            """,
        ),
        {"path": [use("Late", budget={"epsilon": 0.1})]},
        "code of your own raised ZeroDivisionError: division by zero (line {} of mine.py)",
    ),
}


@pytest.mark.parametrize("kind", LATE)
def test_what_is_raised_in_the_middle_of_a_run_is_told_with_line_and_messages(
    tmp_path: Path, pictures: dict[str, Any], kind: str
) -> None:
    code, changes, said = LATE[kind]
    file = study(tmp_path, code, source=pictures, **changes)
    with pytest.raises(InputError) as error:
        campaign.run(file, out=tmp_path / "run")
    assert error.value.exit_code == 2
    expected = said.format(line_of(code)) if "# here" in code else said
    assert expected in error.value.message


def test_a_codec_that_answers_nan_for_one_message_names_receiver_message_and_image(
    tmp_path: Path, pictures: dict[str, Any]
) -> None:
    code = """
    class Corner(Means):
        def encode(self, images):
            return super().encode(images) / ~marked(images)[:, None]
    """
    receivers = {"fine": {"codec": use("Means")}, "corner": {"codec": use("Corner")}}
    message = stopped(study(tmp_path, code, receivers, source=pictures), tmp_path / "run")
    assert message == (
        "codec Corner: encode returned NaN or infinity: receiver corner, message 20 (image 20 of"
        " the source)"
    )


def test_a_bug_of_the_programs_own_stays_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from channelsim import channels

    file = study(tmp_path, "")

    def broken(*_: Any) -> Any:
        raise KeyError("ours")

    monkeypatch.setattr(channels.AWGN, "cross", broken)
    with pytest.raises(KeyError, match="ours"):
        campaign.run(file, out=tmp_path / "run")


# --- declarations -------------------------------------------------------------------------------

PERFECT = "perfect: ClassVar[float | None] = {}\n"
LIMIT = "limit: ClassVar[float | None] = {}\n"
AS_MSE = """
def to_additive(self, values):
    return {0} * 10.0 ** (-np.asarray(values) / 10)
def from_additive(self, values):
    return -10 * np.log10(np.asarray(values) / {0})
"""
LOST_DB = "-10 * torch.log10((images - references).square().flatten(1).mean(1))"
ERROR = (
    metric(
        "MeanAbsoluteError",
        "return apart(images, references)",
        PERFECT.format(0.0) + LIMIT.format(0.5),
        kind="mae",
    )
    + metric(
        "Closeness", "return 1 - apart(images, references)", PERFECT.format(1.0), better="True"
    )
    + metric(
        "Decibels", f"return {LOST_DB} + 3.0", AS_MSE.format(2.0), better="True", kind="psnr255"
    )
)
# PSNR as a user would write it.
MINE = metric(
    "Mine",
    f"return {LOST_DB}",
    LIMIT.format(34.0) + AS_MSE.format(1.0),
    better="True",
    kind="mine_db",
)
ATTACK = {
    "kind": "pgd",
    "name": "mallory",
    "goal": {"kind": "damage"},
    "budget": {"norm": "psr_db", "epsilon": -10},
    "steps": 3,
}


@pytest.mark.parametrize("name", ["MeanAbsoluteError", "Closeness", "Decibels"])
def test_the_direction_of_a_metric_is_believed_everywhere(tmp_path: Path, name: str) -> None:
    file = study(
        tmp_path,
        ERROR,
        path=[ATTACK, AWGN],
        metrics=[use(name)],
        sweep={"awgn.snr_db": [0, 20]},
    )
    run = campaign.run(file, out=tmp_path / "run")
    (tmp_path / "mine.py").unlink()  # reading the ledger needs no code
    summary, header = run.summary(), run.header()
    worst = hardest(summary, "mine")
    assert worst is not None
    assert worst.swept == {"awgn.snr_db": 0}
    kind = summary.metrics[0]
    assert summary.gain_metric == kind
    assert all(point.gain_db is not None for point in summary.points)
    scale = scale_of(kind, header["scales"])
    assert scale.higher_is_better is (name != "MeanAbsoluteError")
    assert scale.damaging
    # The worst images are kept by the metric of the gain.
    with Ledger.open(run.folder / "ledger.sqlite") as ledger:
        shown = {key for (key,) in ledger.rows("SELECT DISTINCT transmission FROM image", ())}
    values = column(run, f"{kind}_source")[:16] * (1 if name == "MeanAbsoluteError" else -1)
    assert int(values.argmax()) in shown


def test_the_gain_of_a_metric_of_ones_own_is_that_of_the_same_metric_built_in(
    tmp_path: Path,
) -> None:
    sweep = {"mallory.budget.epsilon": [-20, -10, 0]}
    found = []
    for number, chosen in enumerate(["psnr", use("Mine")]):
        file = study(tmp_path, MINE, path=[ATTACK, AWGN], metrics=[chosen], sweep=sweep)
        found.append(campaign.run(file, out=tmp_path / str(number)).summary())
    built_in, own = found
    for ours, theirs in zip(own.points, built_in.points, strict=True):
        assert ours.gain_db is not None
        assert theirs.gain_db is not None
        assert ours.gain_db.value == pytest.approx(theirs.gain_db.value, abs=1e-4)
        mine, psnr = ours.metrics["mine_db"].source, theirs.metrics["psnr"].source
        assert mine is not None
        assert psnr is not None
        assert mine.value == pytest.approx(psnr.value, abs=1e-4)
    assert len(own.areas) == len(built_in.areas) > 0


def info_of(run: campaign.Run) -> RunInfo:
    """A run as a view knows it."""
    with run.ledger() as ledger:
        return RunInfo(ledger.header(), tuple(ledger.arms()))


@pytest.mark.parametrize("goal", ["damage", "image"])
def test_receivers_are_compared_by_a_metric_of_ones_own_as_by_the_same_one_built_in(
    tmp_path: Path, goal: str
) -> None:
    code = f"""{MINE}
class Halves(Means):
    def decode(self, latents):
        return 0.5 * super().decode(latents)
"""
    wanted = {"kind": "damage"} if goal == "damage" else {"kind": "image", "target": "black"}
    receivers = {name.lower(): {"codec": use(name)} for name in ("Means", "Halves")}
    sweep = {"mallory.budget.epsilon": [-20, -10, 0]}
    found = []
    for number, chosen in enumerate(["psnr", use("Mine")]):
        file = study(
            tmp_path,
            code,
            receivers=receivers,
            path=[{**ATTACK, "goal": wanted}, AWGN],
            metrics=[chosen],
            primary="mine_db" if number else "psnr",
            sweep=sweep,
        )
        run = campaign.run(file, out=tmp_path / str(number))
        (tmp_path / "mine.py").unlink()
        found.append(run)
    built_in, own = (run.summary() for run in found)
    assert built_in.primary is not None
    assert own.primary is not None
    assert own.primary.metric == "mine_db"
    assert own.primary.unit == built_in.primary.unit == "dB"
    pairs = list(zip(own.primary.members, built_in.primary.members, strict=True))
    assert pairs
    for mine, psnr in pairs:
        assert mine.better == psnr.better == "halves"  # `Means` shows black as 0.3
        assert mine.difference.value == pytest.approx(psnr.difference.value, abs=1e-4)
    assert len(own.primary.areas) == len(built_in.primary.areas)
    verdicts = [[point.verdict for point in one.points] for one in (own, built_in)]
    assert verdicts[0] == verdicts[1]
    for ours, theirs in zip(own.points, built_in.points, strict=True):
        assert (ours.approach is None) == (theirs.approach is None) == (goal == "damage")
        if ours.approach is not None and theirs.approach is not None:
            assert ours.approach.got_nearer == theirs.approach.got_nearer
            assert ours.approach.attack.value == pytest.approx(theirs.approach.attack.value)
    infos = [info_of(run) for run in found]
    assert [info.gauge_of(0) for info in infos] == ["psnr", "mine_db"]


def test_the_mean_of_a_metric_of_ones_own_is_taken_on_the_scale_it_declares(tmp_path: Path) -> None:
    squares = """
    def to_additive(self, values):
        return np.asarray(values) ** 2
    def from_additive(self, values):
        return np.sqrt(values)
    """
    root = "return (images - references).square().flatten(1).mean(1).sqrt()"
    code = metric("Rmse", root, PERFECT.format(0.0) + textwrap.dedent(squares))
    run = campaign.run(study(tmp_path, code, metrics=[use("Rmse"), "mse"]), out=tmp_path / "run")
    values, mse = column(run, "rmse_source"), column(run, "mse_source")
    reading = run.summary().points[0].metrics["rmse"].source
    assert reading is not None
    assert reading.value == pytest.approx(np.sqrt(mse.mean()), rel=1e-5)
    assert reading.value != pytest.approx(values.mean(), rel=1e-5)
    constant = run.header()["calibration"]["constant_image"]
    assert constant["rmse"] == pytest.approx(np.sqrt(constant["mse"]), rel=1e-5)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "Mine does not say which values are better; write higher_is_better"),
        ("higher_is_better = 'no'", "Mine does not say which values are better"),
        (
            "higher_is_better = False; perfect = 1.0",
            "Mine declares perfect = 1, but measures 0 for an image against itself",
        ),
        ("higher_is_better = False; perfect = float('nan')", "Mine: perfect must be a finite num"),
        (
            "higher_is_better = False; to_additive = lambda self, v: np.tan(v)",
            "Mine.from_additive does not undo to_additive",
        ),
        (
            "higher_is_better = False; to_additive = lambda self, v: np.tan(v);"
            " from_additive = lambda self, a: np.arctan(a)",
            "Mine.to_additive is none that a ledger can keep, which is read without your code;"
            " allowed are v (the default), 10^(−v/10), 10^(v/10), v², √v, ln v, e^v, 1/v",
        ),
        (
            "higher_is_better = False; to_additive = lambda self, v: np.log(v);"
            " from_additive = lambda self, a: np.exp(a)",
            "Mine.measure returned NaN or infinity for a black image",
        ),
    ],
)
def test_what_a_metric_declares_must_be_so(tmp_path: Path, body: str, said: str) -> None:
    code = f"""
    class Mine(Metric):
        kind = "mine"
        {body or "pass"}
        def measure(self, images, references):
            return (images - references).abs().flatten(1).mean(1)
    """
    assert said in refused(study(tmp_path, code, metrics=[use("Mine")]))


def test_a_header_without_declarations_opens_and_one_of_an_unknown_scale_is_named() -> None:
    assert scale_of("mae").higher_is_better is None
    assert damage_metric(["mae"]) is None
    told = {"mae": {"higher_is_better": False, "averaged_as": "octaves"}}
    with pytest.raises(InputError, match="mae is averaged as 'octaves', which this version does"):
        scale_of("mae", told)
    told = {"mae": {"higher_is_better": "no", "averaged_as": "square", "factor": 1.0}}
    with pytest.raises(InputError, match="does not say how mae is to be read: it is damaged"):
        scale_of("mae", told)


CONSTANT = adversary("Constant", "return signal * 0 + 1.0, ok(signal)")


@pytest.mark.parametrize(
    "norm", [("psr_db", [-20, -10, 0]), ("linf", [0, 0.05, 0.1]), ("l2", [0, 0.5, 1])]
)
def test_an_adversary_without_columns_has_its_budget_enforced_in_every_arm(
    tmp_path: Path, norm: tuple[str, list[float]]
) -> None:
    name, epsilons = norm
    eve = use("Constant", name="eve", budget={"norm": name, "epsilon": epsilons[0]})
    sweep = {"eve.budget.epsilon": epsilons}
    run = campaign.run(study(tmp_path, CONSTANT, path=[eve], sweep=sweep), out=tmp_path / "run")
    column_name = {"psr_db": "psr_db", "linf": "delta_linf", "l2": "delta_l2"}[name]
    table = run.frame()
    for epsilon in epsilons:
        found = table[table["eve.budget.epsilon"] == epsilon][column_name].astype(float)
        assert found.to_numpy() == pytest.approx(epsilon, abs=1e-4, rel=1e-5)
    again = replay(run.folder, 20, allow_code=True)
    assert not again.flips
    assert run.summary().epsilon_key == "eve.budget.epsilon"


def test_what_an_adversary_declares_in_code_alone_is_in_the_header_and_read_there(
    tmp_path: Path,
) -> None:
    code = CONSTANT.replace(
        "budget: Budget", 'budget: Budget = Budget(norm="psr_db", epsilon=-10.0)'
    )
    run = campaign.run(study(tmp_path, code, path=[use("Constant")]), out=tmp_path / "one")
    info = info_of(run)
    assert info.adversary_on(0)
    assert info.budgets(0) == [("constant", "psr_db", -10.0)]
    path = [use("Constant", budget={"norm": "psr_db", "epsilon": -10})]
    sweep = {"constant.budget.epsilon": [-20, 0]}
    run = campaign.run(study(tmp_path, code, path=path, sweep=sweep), out=tmp_path / "two")
    info = info_of(run)
    assert run.summary().epsilon_in_db
    assert info.budgets(1) == [("constant", "psr_db", 0.0)]
    assert "dB" in info.short["constant.budget.epsilon"]


def test_an_adversarys_verdicts_are_checked(tmp_path: Path) -> None:
    code = CONSTANT.replace("ok(signal)", "np.full(len(signal), 'great', dtype=object)")
    file = study(tmp_path, code, path=[use("Constant", budget={"epsilon": 0.1})])
    message = refused(file)
    assert "adversary constant: perturb returned the verdict 'great'; a row's is one of" in message
    code = CONSTANT.replace("ok(signal)", "ok(signal)[1:]")
    file = study(tmp_path, code, path=[use("Constant", budget={"epsilon": 0.1})])
    assert "perturb must return verdicts of shape [16], returned shape [15]" in refused(file)


# --- files beside the user's --------------------------------------------------------------------


def test_modules_beside_a_users_file_are_found_whenever_its_code_asks(tmp_path: Path) -> None:
    import sys

    (tmp_path / "late_helper.py").write_text("FACTOR = 0.5\n", encoding="utf-8")
    (tmp_path / "by_name.py").write_text("FACTOR = 2.0\n", encoding="utf-8")
    code = """
    class Lazy(Means):
        def decode(self, latents):
            import importlib

            from late_helper import FACTOR
            return super().decode(latents) * FACTOR * importlib.import_module("by_name").FACTOR
    """
    before = list(sys.path)
    receivers = {"lazy": {"codec": use("Lazy")}, "plain": {"codec": use("Means")}}
    run = campaign.run(study(tmp_path, code, receivers), out=tmp_path / "run")
    assert (column(run, "mse_source", "lazy") == column(run, "mse_source", "plain")).all()
    assert sys.path == before
    with pytest.raises(ModuleNotFoundError):
        __import__("never_imported_beside")
    (tmp_path / "never_imported_beside.py").write_text("", encoding="utf-8")
    with pytest.raises(ModuleNotFoundError):  # beside the user's file, but imported here
        __import__("never_imported_beside")


def test_two_folders_may_each_have_a_helper_of_one_name(tmp_path: Path) -> None:
    code = """
    class Scaled(Means):
        def decode(self, latents):
            from shared_helper import GAIN
            return super().decode(latents) * GAIN
    """
    runs = []
    for name, gain in (("one", 1.0), ("two", 0.5)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "shared_helper.py").write_text(f"GAIN = {gain}\n", encoding="utf-8")
        runs.append(study(folder, code, {"mine": {"codec": use("Scaled")}}))
    loaded = [Scenario.load(file).arms[0].receiver.codec for file in runs]
    import torch

    shown = [codec.decode(torch.ones(1, 64)).mean().item() for codec in (*loaded, *loaded)]
    assert shown == [1.0, 0.5, 1.0, 0.5]


def test_a_helper_that_was_edited_is_read_anew(tmp_path: Path) -> None:
    code = """
    from edited_helper import GAIN

    class Scaled(Means):
        def decode(self, latents):
            return super().decode(latents) * GAIN
    """
    import torch

    file = study(tmp_path, code, {"mine": {"codec": use("Scaled")}})
    shown = []
    for gain in (1.0, 0.25):
        (tmp_path / "edited_helper.py").write_text(f"GAIN = {gain}  # new\n", encoding="utf-8")
        codec = Scenario.load(file).arms[0].receiver.codec
        shown.append(codec.decode(torch.ones(1, 64)).mean().item())
    assert shown == [1.0, 0.25]


def test_a_whole_module_is_loaded_from_beside_the_file(tmp_path: Path) -> None:
    model = """\
    from torch import nn
    from torch.nn import functional as F

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(__import__("torch").ones(1))
        def encode(self, images):
            return F.avg_pool2d(images, 4).flatten(1) * self.gain
        def decode(self, latents):
            return F.interpolate(latents.reshape(len(latents), 1, 8, 8), scale_factor=4)
    """
    (tmp_path / "saved_model.py").write_text(textwrap.dedent(model), encoding="utf-8")
    import subprocess
    import sys

    save = "import torch, saved_model; torch.save(saved_model.Net(), 'net.pt')"
    subprocess.run([sys.executable, "-c", save], cwd=tmp_path, check=True, capture_output=True)
    code = """
    from pathlib import Path

    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = torch.load(Path(__file__).with_name("net.pt"), weights_only=False)
        def encode(self, images):
            return self.net.encode(images)
        def decode(self, latents):
            return self.net.decode(latents)
    """
    scenario = Scenario.load(study(tmp_path, code, {"mine": {"codec": use("Whole")}}))
    assert scenario.arms[0].receiver.codec.latent_size == 64


def test_an_error_in_a_helper_is_told_with_the_helpers_line(tmp_path: Path) -> None:
    (tmp_path / "raising.py").write_text(
        "def fail(x):\n    raise OSError('no such table')\n", encoding="utf-8"
    )
    code = """
    from raising import fail

    class Asking(Means):
        def decode(self, latents):
            return fail(latents)
    """
    message = refused(study(tmp_path, code, {"mine": {"codec": use("Asking")}}))
    assert "Asking.decode raised OSError: no such table (line 2 of raising.py)" in message


# --- a codeword of zeros ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "power", [{"amplitude": "known"}, {"amplitude": "lost"}, {"level": "unit"}]
)
def test_a_codeword_of_no_energy_stays_silent_and_the_run_completes(
    tmp_path: Path, power: dict[str, str]
) -> None:
    draw = np.random.default_rng(0)
    train, test = (draw.integers(1, 256, (n, 32, 32), dtype=np.uint8) for n in (64, 32))
    test[20] = 0
    np.savez(tmp_path / "black.npz", train_images=train, test_images=test)
    file = study(
        tmp_path,
        "",
        {"cosines": {"codec": {"kind": "linear", "latent_size": 64}}},
        source={"kind": "npz", "path": "black.npz", "layout": "nhw"},
        power={"mode": "codeword", **power},
        path=[{"kind": "noise", "budget": {"norm": "psr_db", "epsilon": -20}}, AWGN],
        metrics=["mse", "psnr"],
    )
    run = campaign.run(file, out=tmp_path / "run")
    assert run.finished
    assert np.isfinite(column(run, "mse_source")).all()
    assert not replay(run.folder, 20).flips
    with run.ledger() as ledger:
        rows = dict(ledger.rows("SELECT attempt, psr_row_db FROM attempt", ()))
    # Its row says so: relative to a codeword of no energy nothing has a finite power.
    assert [key for key, value in rows.items() if value is None] == [20]


@pytest.mark.parametrize("name", ["wants", "knows", "fit", "label"])
def test_a_field_with_the_name_of_a_contracts_own_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "mine.py").write_text(
        textwrap.dedent(f"""
        from channelsim import Adversary, part

        @part
        class Mine(Adversary):
            kind = "mine"
            {name}: float
            name: str = ""

            def perturb(self, signal, radius, rows, knowledge):
                raise AssertionError
        """)
    )
    stage = {name: 0.5, "budget": {"epsilon": 0.1}}
    with pytest.raises(InputError, match=f"the field '{name}' has the name of .*{name}, which"):
        Scenario.load(
            {
                "source": {"kind": "dataset", "count": 4},
                "path": [stage | {"use": f"{tmp_path}/mine.py:Mine"}],
                "receivers": {"a": {"codec": "kld-vae"}},
                "metrics": ["mse"],
            }
        )


# --- what an author gets wrong most often -------------------------------------------------------


def _stage(code: str) -> str:
    return f"from channelsim import stage\n\n\n{code}"


def test_a_stage_that_says_it_draws_nothing_may_not_draw(tmp_path):
    """It is foreseen, so its draws would tell an adversary the real ones."""
    code = _stage(
        "@stage(random=False)\n"
        "def hops(signal, rows):\n"
        "    return signal * (rows.uniform(signal.shape[1], 'keep') < 0.5)\n"
    )
    file = study(tmp_path, code, path=[use("hops")])
    assert "hops draws random numbers, and says that it does not; write @stage(random=True)" in (
        refused(file)
    )


def test_who_is_blind_to_a_random_stage_of_ones_own_is_told(tmp_path):
    code = _stage(
        "@stage(random=True)\n"
        "def hops(signal, rows):\n"
        "    return signal * (rows.uniform(signal.shape[1], 'keep') < 0.9)\n"
    )
    pgd = {
        "kind": "pgd", "name": "mallory", "goal": {"kind": "damage"},
        "budget": {"norm": "linf", "epsilon": 0.5},
    }  # fmt: skip
    blind = "mallory: plans as if hops were absent, which draws random numbers"
    file = study(tmp_path, code, path=[pgd, use("hops")])
    assert any(blind in one for one in Scenario.load(file).notices)
    seeing = {**pgd, "access": {"expectation": 2}}
    file = study(tmp_path, code, path=[seeing, use("hops")])
    assert not any(blind in one for one in Scenario.load(file).notices)


@pytest.mark.parametrize(
    ("begin", "move", "said"),
    [
        ("{}", "gradient.sign()", r"Mine.move must return (move [N, K], state), returned shape"),
        ("{}", "(gradient[:, :1], state)", "Mine.move must return a move of shape"),
        ("{'t': 0}", "(gradient, state)", "Mine.begin must return a state: a dictionary of tens"),
        ("{}", "(gradient, {'t': 1})", "Mine.move must return a state: a dictionary of tensors"),
    ],
)
def test_a_step_rule_of_another_form_is_named_by_its_method(tmp_path, begin, move, said):
    code = (
        "from channelsim import GradientAttack, StepRule, part\n\n\n"
        "class Mine(StepRule):\n"
        f"    def begin(self, start):\n        return {begin}\n\n"
        f"    def move(self, gradient, step_size, state):\n        return {move}\n\n\n"
        "@part\nclass Attack(GradientAttack):\n    kind = 'attack'\n\n"
        "    @property\n    def rule(self):\n        return Mine()\n"
    )
    attack = use("Attack", goal={"kind": "damage"}, budget={"norm": "linf", "epsilon": 0.5})
    assert said in refused(study(tmp_path, code, path=[attack]))


def test_a_numpy_array_is_named_as_such(tmp_path):
    code = (
        "from channelsim import metric\n\n\n"
        "@metric(higher_is_better=False)\n"
        "def apart(images, references):\n"
        "    return (images - references).abs().flatten(1).mean(1).numpy()\n"
    )
    file = study(tmp_path, code, metrics=["mse", use("apart")])
    assert "must return a torch tensor of shape" in refused(file)
    assert "returned a NumPy array of shape" in refused(file)
