"""Attacks on the image, before it is encoded: in pixels, and through both networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from helpers.small_runs import attempts, scenario
from torch import Tensor

from channelsim import run
from channelsim.adversaries import gradient_attack
from channelsim.adversaries.goals import distance
from channelsim.contracts import records
from channelsim.contracts.access import Access, Activity
from channelsim.contracts.adversary import Adversary, Budget
from channelsim.contracts.parts import part
from channelsim.contracts.records import Batch
from channelsim.contracts.rows import Knowledge, Rows
from channelsim.runs.replay import replay
from channelsim.signal_path import SignalPath, Transmitter
from channelsim.signal_path.calibration import calibrate
from channelsim.support.errors import InputError

PIXELS = 1024
INPUT = {"place": "before_encoder"}
GAINS = [3.0, 2.0, 1.0, 1.0, 0.5, 0.5, 0.25, 2.0]
LINEAR = {"kind": "linear", "latent_size": 8, "gains": GAINS}
PLAIN = {"plain": {"codec": LINEAR}}
TRAINED = {"plain": {"codec": "kld-vae"}}
NOISE = {"kind": "awgn", "snr_db": 10.0}
FEW = {"kind": "dataset", "count": 12, "arrivals": {"kind": "once"}}


def attack(epsilon: float = 0.1, norm: str = "linf", **more: Any) -> dict[str, Any]:
    budget = {"norm": norm, "epsilon": epsilon}
    return {"kind": "pgd", "goal": {"kind": "damage"}, "budget": budget, "access": INPUT} | more


def jam(epsilon: float = 0.1, norm: str = "linf", **more: Any) -> dict[str, Any]:
    return {"kind": "noise", "budget": {"norm": norm, "epsilon": epsilon}, "access": INPUT} | more


@pytest.fixture
def grey(tmp_path: Path) -> dict[str, Any]:
    """Pictures far from black and white: no small δ drives them out of [0, 1]."""
    images = np.random.default_rng(4).integers(90, 166, (60, 32, 32, 1), dtype=np.uint8)
    label = np.arange(60) % 3
    np.savez(
        tmp_path / "grey.npz", train_images=images[:40], test_images=images[40:],
        train_labels=label[:40], test_labels=label[40:],
    )  # fmt: skip
    return {"kind": "npz", "path": str(tmp_path / "grey.npz"), "arrivals": {"kind": "once"}}


def path_of(**changes: Any) -> SignalPath:
    path = calibrate(scenario(**({"receivers": PLAIN, "block_rows": 8} | changes))).paths[0]
    Given.knew.clear()  # by its trial, as of any part that is not the package's
    return path


def batch(count: int = 6) -> Batch:
    return Batch.planned(np.arange(count), np.arange(count, dtype=np.float64))


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """All images passed to an encoder from now on."""
    seen: list[Tensor] = []
    send = Transmitter.send

    def watched(self: Transmitter, images: Tensor, rows: Rows, *codec: Any) -> Any:
        seen.append(images.detach().clone())
        return send(self, images, rows, *codec)

    monkeypatch.setattr(Transmitter, "send", watched)
    return seen


@part
class Given(Adversary):
    """Adds the test's δ, and keeps its arguments."""

    kind: ClassVar[str] = "given"
    columns: ClassVar[Mapping[str, str]] = {"epsilon": "budget.epsilon"}
    knew: ClassVar[list[Knowledge]] = []

    name: str = "given"
    budget: Budget = Budget(norm="l2", epsilon=1e6)
    access: Access = Access(place="before_encoder")
    activity: Activity = Activity()
    delta: Any

    def perturb(
        self, signal: Tensor, radius: Tensor, rows: Rows, knowledge: Knowledge
    ) -> tuple[Tensor, np.ndarray]:
        self.knew.append(knowledge)
        delta = torch.as_tensor(self.delta)
        return delta.expand_as(signal), np.full(len(signal), records.OK, dtype=object)


@pytest.fixture(autouse=True)
def _nobody_told_anything() -> Iterator[None]:
    Given.knew.clear()
    yield
    Given.knew.clear()


def pixels(seed: int = 0, size: float = 0.05) -> Tensor:
    return size * torch.randn(PIXELS, generator=torch.Generator().manual_seed(seed))


# --- effect of a change of the image --------------------------------------------------------------


def test_a_change_of_the_image_is_its_codeword_added_on_the_wire(grey):
    path = path_of(source=grey, path=[])
    encode = path.transmitter.codec.encode
    delta = pixels()
    here = encode(delta.view(1, 1, 32, 32))[0]
    before, seen, latent = path_of(source=grey, path=[Given(delta=delta), NOISE]).transmit(batch())
    wire = Given(delta=here, access=Access())
    after, shown, received = path_of(source=grey, path=[wire, NOISE]).transmit(batch())
    assert torch.allclose(latent["received"], received["received"], atol=2e-5)
    assert torch.allclose(seen["received"], shown["received"], atol=2e-5)
    one, other = before.columns, after.columns
    for name in ("mse_passive", "mse_source", "psr_received_db"):
        assert one[name] == pytest.approx(other[name], rel=1e-3)
    # ‖W·diag(g)·E·δ‖² = ‖Wᵀδ‖²: the gains cancel, and parts of δ outside the code have no effect.
    lossless, _, _ = path_of(source=grey, path=[Given(delta=delta)]).transmit(batch())
    gains = torch.tensor(GAINS)
    closed = float((here * gains).double().square().sum()) / PIXELS
    assert lossless.columns["mse_passive"] == pytest.approx(closed, rel=1e-3)
    # Each PSR in the unit of its place.
    images = np.load(grey["path"])["train_images"] / 255
    energy = float(delta.double().square().sum())
    wanted = 10 * np.log10(energy / PIXELS / np.mean(images**2))
    assert one["psr_db"] == pytest.approx(wanted, abs=1e-3)
    latents = encode(torch.from_numpy(images[:, None, :, :, 0]).float()).double()
    ratio = float(here.double().square().mean() / latents.square().mean())
    assert one["psr_received_db"] == pytest.approx(10 * np.log10(ratio), abs=2e-2)


@pytest.mark.parametrize("power", ["average", "codeword"])
@pytest.mark.parametrize("transmit", ["mean", "sample"])
def test_the_adversary_foresees_exactly_what_the_receiver_will_show(power, transmit):
    changes = {"receivers": TRAINED, "power": {"mode": power}, "transmit": transmit}
    _, images, latent = path_of(path=[Given(delta=pixels())], **changes).transmit(batch(8))
    (known,) = Given.knew
    flat = images["source"].flatten(1)
    assert torch.equal(known.decode(flat), images["passive"])
    changed = (flat + known.inside(pixels().expand_as(flat))).clamp(0, 1)
    assert torch.equal(known.decode(changed), images["received"])
    # And where the codec sends samples, all three signals are sent with the same draws.
    codec = path_of(path=[], receivers=TRAINED).transmitter.codec
    mean, std = codec.posterior(images["source"])
    moved, spread = codec.posterior(changed.view_as(images["source"]))
    assert std is not None
    assert spread is not None
    draws = (latent["passive"] - mean) / std
    assert (draws.abs().mean() > 0.5) == (transmit == "sample")
    wanted = moved + spread * draws if transmit == "sample" else moved
    assert torch.allclose(latent["received"], wanted, atol=1e-3)


@pytest.mark.parametrize(
    "changes",
    [
        {"power": {"mode": "average"}},
        {"power": {"mode": "codeword"}, "transmit": "sample"},
        {"power": {"mode": "codeword", "amplitude": "lost", "centred": True}},
    ],
    ids=["average", "sample, side information", "lost amplitude"],
)
def test_the_gradient_of_the_whole_chain_is_its_finite_difference(grey, changes):
    path_of(path=[Given(delta=0.0)], source=grey, receivers=TRAINED, **changes).transmit(batch(8))
    (known,) = Given.knew
    x = known.source.flatten(1).clone()
    goal = known.source_of(np.arange(8) + 1)

    def objective(image: Tensor) -> Tensor:
        return distance("mse", known.decode(image), goal).double()

    with torch.enable_grad():
        leaf = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(objective(leaf).sum(), leaf)
    # Along the gradient itself, where the derivative is largest and rounding matters least.
    direction = gradient / torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
    step = 0.02
    difference = (objective(x + step * direction) - objective(x - step * direction)) / (2 * step)
    expected = torch.linalg.vector_norm(gradient.double(), dim=1)
    assert float(expected.min()) > 1e-5
    assert difference.numpy() == pytest.approx(expected.numpy(), rel=0.05)


def test_the_best_change_of_a_grey_image_lies_where_the_codec_listens(grey):
    # Largest ‖Wᵀδ‖² at ‖δ‖ = ε is ε²; of noise, 8 directions in 1,024 are heard (± 4 standard
    # errors of a χ² of 160 degrees of freedom).
    strong = attack(0.5, "l2", step_size=5.0, steps=10, start="sphere")
    rows = attempts(source=grey, receivers=PLAIN, path=[strong], control=True, block_rows=20)
    assert rows["mse_passive"] == pytest.approx(0.25 / PIXELS, rel=1e-3)
    assert rows["control_mse_passive"].mean() == pytest.approx(0.25 / PIXELS * 8 / 1024, rel=0.45)
    assert rows["delta_l2"] == pytest.approx(0.5, rel=1e-4)
    # The gains do not matter here, and on the wire they do.
    wire = strong | {"access": {"place": "relay"}}
    rows = attempts(source=grey, receivers=PLAIN, path=[wire], block_rows=20)
    assert rows["mse_passive"] == pytest.approx(0.25 * 9 / PIXELS, rel=1e-2)


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.1), ("l2", 3.0), ("psr_db", -10.0)])
def test_an_attack_on_the_image_is_worse_than_noise_of_its_norm(norm, epsilon):
    rows = attempts(
        source=FEW | {"count": 30}, receivers=TRAINED, path=[attack(epsilon, norm)],
        control=True, block_rows=32,
    )  # fmt: skip
    assert (rows["mse_passive"] > 3 * rows["control_mse_passive"]).mean() > 0.9
    noise = attempts(
        source=FEW | {"count": 30}, receivers=TRAINED, path=[jam(epsilon, norm)], block_rows=32
    )
    assert rows["mse_passive"].mean() > 3 * noise["mse_passive"].mean()


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.1), ("l2", 3.0)])
def test_an_ascent_that_stays_in_the_box_beats_one_that_is_cut_to_it(norm, epsilon, monkeypatch):
    # A digit is black at most of its pixels: about half of a δ is clipped by the box.
    def damage() -> tuple[float, float]:
        path = [attack(epsilon, norm)]
        rows = attempts(source=FEW, receivers=TRAINED, path=path, block_rows=12)
        return float(rows["mse_passive"].mean()), float(rows["delta_l2"].min())

    inside, length = damage()
    assert norm == "linf" or length > 0.97 * epsilon  # clipping loses no length
    ascend = gradient_attack.ascend

    def straying(*given: Any, inside: Any, **more: Any) -> Any:
        return ascend(*given, **more)

    monkeypatch.setattr(gradient_attack, "ascend", straying)
    assert inside > 1.3 * damage()[0]


# --- the box --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "adversary",
    [
        attack(0.3), attack(5.0), attack(8.0, "l2"), attack(40.0, "psr_db"),
        jam(0.3), jam(5.0), jam(8.0, "l2", law="uniform"), jam(40.0, "psr_db"), Given(delta=1e30),
    ],
    ids=str,
)  # fmt: skip
def test_nothing_outside_the_box_is_ever_encoded(sent, adversary):
    path = path_of(path=[adversary, NOISE], receivers=TRAINED, control=True)
    outcome, _, _ = path.transmit(batch(8))
    assert len(sent) >= 3
    for images in sent:
        assert float(images.min()) >= 0
        assert float(images.max()) <= 1
    source, attacked, control = sent[0][:8], sent[-2][:8], sent[-1][:8]
    # The recorded δ is the one added, after the box.
    delta = (attacked - source).double().flatten(1)
    assert outcome.columns["delta_l2"] == pytest.approx(delta.norm(dim=1).numpy(), rel=1e-4)
    assert outcome.columns["delta_linf"] == pytest.approx(
        delta.abs().amax(dim=1).numpy(), rel=1e-5, abs=1e-7
    )
    if not isinstance(adversary, Given) and adversary["budget"]["epsilon"] == 0.3:
        noise = (control - source).double().flatten(1)
        assert noise.norm(dim=1).numpy() == pytest.approx(delta.norm(dim=1).numpy(), rel=1e-3)


@pytest.mark.parametrize("norm", ["linf", "l2", "psr_db"])
def test_the_control_is_as_long_as_the_attack_although_the_box_cuts_it(sent, norm):
    epsilon = {"linf": 0.1, "l2": 3.0, "psr_db": -10.0}[norm]
    path_of(path=[attack(epsilon, norm)], receivers=TRAINED, control=True).transmit(batch(8))
    source, attacked, control = sent[0], sent[-2], sent[-1]
    long, matched = ((one - source).flatten(1).norm(dim=1) for one in (attacked, control))
    assert matched.numpy() == pytest.approx(long.numpy(), rel=1e-3)
    assert float(long.min()) > 1.0


def test_the_passive_signal_does_not_know_that_anybody_is_there():
    clean, images, latent = path_of(path=[NOISE], receivers=TRAINED).transmit(batch())
    for adversary in (attack(0.3), jam(0.3), attack(0.0), jam(-np.inf, "psr_db")):
        changes = {"receivers": TRAINED, "transmit": "mean", "control": True}
        found, seen, received = path_of(path=[adversary, NOISE], **changes).transmit(batch())
        assert torch.equal(seen["passive"], images["passive"])
        assert torch.equal(seen["clean"], images["clean"])
        assert torch.equal(received["passive"], latent["passive"])
        for name in ("quality_mse", "snr_measured_db"):
            assert (found.columns[name] == clean.columns[name]).all()
        off = adversary["budget"]["epsilon"] in (0.0, -np.inf)
        assert set(found.columns["verdict"]) == {"off" if off else "ok"}
        if off:
            assert torch.equal(seen["received"], images["received"])
            assert (found.columns["delta_l2"] == 0).all()
            assert np.isnan(found.columns["psr_db"]).all()


# --- budgets and their records --------------------------------------------------------------------


def test_a_power_ratio_is_against_the_mean_square_of_training_pixels(grey):
    rows = attempts(source=grey, receivers=PLAIN, path=[jam(-25.0, "psr_db")])
    images = np.load(grey["path"])["train_images"] / 255
    assert rows["psr_db"].astype(float) == pytest.approx(-25.0, abs=1e-3)
    assert rows["delta_l2"] ** 2 == pytest.approx(PIXELS * np.mean(images**2) * 10**-2.5, rel=1e-4)


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 1e-4), ("l2", 1e-3)])
def test_the_ledger_holds_every_budget_to_its_last_digit(norm, epsilon, tmp_path):
    # A run ends with a check of the records: δ below a pixel's rounding is no alarm.
    adversary = attack(epsilon, norm, name="mallory", steps=2)
    story = {
        "seed": 3, "source": FEW | {"count": 5}, "receivers": TRAINED, "path": [adversary, NOISE],
        "metrics": ["mse"], "block_rows": 8, "images": 0,
    }  # fmt: skip
    done = run(story, out=tmp_path / "run")
    frame = done.frame()
    assert (frame[f"delta_{norm}"] <= epsilon * (1 + 1e-5)).all()
    assert (frame[f"delta_{norm}"] >= 0.8 * epsilon).all()
    for transmission in (0, 4):
        again = replay(done.folder, transmission)
        assert again.exact
        # The encoder's input is kept: source plus δ.
        delta = (again.images["attacked"] - again.images["source"]).double().flatten()
        size = delta.abs().max() if norm == "linf" else delta.norm()
        assert float(size) == pytest.approx(frame[f"delta_{norm}"][transmission], rel=1e-2)


def test_of_two_on_the_image_both_are_felt_and_both_stay_inside(sent):
    path = [attack(0.2, name="one"), jam(0.1, name="two")]
    outcome, _, _ = path_of(path=path, receivers=TRAINED, control=True).transmit(batch(8))
    delta = (sent[-2] - sent[0])[:8].flatten(1)
    assert float(delta.abs().max()) <= 0.3 + 1e-6
    assert float(delta.abs().max()) > 0.2 + 1e-6
    assert outcome.columns["delta_linf"] == pytest.approx(delta.abs().amax(1).numpy(), rel=1e-5)
    assert all(float(one.min()) >= 0 and float(one.max()) <= 1 for one in sent)


# --- timing, targets, knowledge -------------------------------------------------------------------


def test_who_is_let_pass_is_untouched_to_the_bit(grey):
    chosen = {"every": 3, "first": 1}
    path = path_of(source=grey, path=[attack(0.1, activity=chosen), NOISE], control=True)
    outcome, images, _ = path.transmit(batch())
    passed = [0, 2, 3, 5]
    assert torch.equal(images["received"][passed], images["passive"][passed])
    assert outcome.columns["verdict"].tolist() == ["idle", "ok", "idle", "idle", "ok", "idle"]
    assert (outcome.columns["control_mse_passive"][passed] == 0).all()
    assert (outcome.columns["control_mse_passive"][[1, 4]] > 0).all()


def test_a_loud_image_is_loud_in_pixels():
    # The share of digits brighter than the training split's mean square, give or take noise.
    path = [jam(0.1, activity={"louder_than_db": 0.0})]
    rows = attempts(source=FEW | {"count": 300}, receivers=PLAIN, path=path)
    data = scenario(source=FEW | {"count": 300}).source
    train = data.calibration().images.double() / 255
    own = (data.sent().images.double() / 255).square().flatten(1).mean(1)[:300]
    loud = (own > train.square().mean()).numpy()
    assert ((rows["verdict"] == "ok") == loud).all()
    assert 0.2 < loud.mean() < 0.8


def test_an_account_is_kept_in_units_of_a_mean_image(grey):
    energy = 0.0075
    hungry = jam(-30.0, "psr_db", activity={"energy": energy})
    rows = attempts(source=grey, receivers=PLAIN, path=[hungry])
    power = float(np.mean((np.load(grey["path"])["train_images"] / 255) ** 2))
    spent = rows["delta_l2"] ** 2 / (PIXELS * power)
    # Each takes a thousandth, the eighth image the rest, and the others pass.
    assert spent[:7] == pytest.approx(1e-3, rel=1e-3)
    assert spent[7] == pytest.approx(0.5e-3, rel=1e-3)
    assert (spent[8:] == 0).all()
    assert spent.sum() <= energy * (1 + 1e-6)
    assert set(rows["verdict"][8:]) == {"idle"}


def test_who_imagines_noise_never_imagines_the_real_one():
    access = Access(place="before_encoder", expectation=3)
    adversary = Given(delta=0.0, access=access)
    _, images, _ = path_of(path=[adversary, NOISE], receivers=TRAINED).transmit(batch(8))
    (known,) = Given.knew
    views = known.views()
    assert len(views) == 3
    flat = images["source"].flatten(1)
    imagined = [view.decode(flat) for view in views]
    assert torch.equal(known.decode(flat), images["clean"])  # without a draw: no noise
    for index, one in enumerate(imagined):
        assert torch.equal(views[index].decode(flat), one)  # one draw is one draw
        assert not torch.isclose(one, images["passive"], atol=1e-3).flatten(1).all(1).any()
        assert not torch.isclose(one, images["clean"], atol=1e-3).flatten(1).all(1).any()
        assert not torch.equal(one, imagined[index - 1])


def test_the_header_says_where_it_stands():
    (stage,) = scenario(receivers=TRAINED, path=[attack(0.1)]).arms[0].path
    assert isinstance(stage, Adversary)
    assert stage.threat["place"] == "before the encoder"
    assert "before anything is sent" in stage.threat["causality"]
    assert stage.threat["knowledge"] == ["source", "encoder", "receiver weights"]
    (stage,) = scenario(receivers=TRAINED, path=[jam(0.1)]).arms[0].path
    assert isinstance(stage, Adversary)
    assert stage.threat["knowledge"] == []


# --- refusals -------------------------------------------------------------------------------------

ON_THE_WIRE = {"kind": "noise", "name": "jammer", "budget": {"epsilon": 0.1}}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"path": [NOISE, attack()]}, "acts before the encoder and so meets the signal first"),
        ({"path": [attack(), ON_THE_WIRE]}, "one before the encoder and one on the wire"),
        ({"path": [ON_THE_WIRE, attack()]}, "one before the encoder and one on the wire"),
        (
            {"path": [attack()], "source": {"kind": "prior", "count": 4}, "receivers": TRAINED},
            "this source draws codewords and has no images to change",
        ),
        ({"path": [attack(access=INPUT | {"reaction_s": 0.1})]}, "has no reaction_s"),
        ({"path": [attack(access=INPUT | {"own_path": {}})]}, "no own_path"),
        ({"path": [attack(access=INPUT | {"listen_symbols": 2})]}, "listen_symbols is for place"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(changes, said):
    with pytest.raises(InputError) as error:
        scenario(**changes)
    assert said in error.value.message
