"""Universal perturbation: its training data, its strength, and data it must not use."""

from __future__ import annotations

import dataclasses
import io
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from helpers.known_decoders import LinearDecoder, convolutional, image_damage, latents, meet
from helpers.small_runs import attempts, scenario
from rich.console import Console
from torch import Tensor

import channelsim
from channelsim.adversaries import PGD, Noise, Universal
from channelsim.adversaries.universal import rotated
from channelsim.codecs.linear import Linear
from channelsim.contracts import records
from channelsim.contracts.adversary import Budget
from channelsim.contracts.records import Preparing, Started
from channelsim.contracts.rows import Rows
from channelsim.display.progress_line import PlainDisplay
from channelsim.runs.replay import replay
from channelsim.signal_path.calibration import calibrate
from channelsim.simulation.event_plane import simulate
from channelsim.sources import as_float
from channelsim.support.errors import InputError

SINGULAR = (3.0, 2.0, 1.5, 1.0, 0.7, 0.5)
DAMAGE = {"kind": "damage"}
LINEAR = {"kind": "linear", "latent_size": 8, "gains": [3.0, 2.0, *([1.0] * 6)]}


def universal(norm: str = "l2", epsilon: float = 0.4, goal: Any = None, **fields: Any) -> Universal:
    return Universal(goal=goal or DAMAGE, budget=Budget(norm=norm, epsilon=epsilon), **fields)


def fitted(
    attack: Universal, decode, train: Tensor, power: float = 1.0, seed: int = 7, spy=None
) -> Tensor:
    """δ [K] of an attack fitted to these codewords."""

    def draw(numbers: np.ndarray) -> tuple[Tensor, Rows]:
        if spy is not None:
            spy.append(numbers)
        some = train[torch.from_numpy(numbers)]
        return some, meet(attack, some, decode, message=numbers, power=power, seed=seed)

    everyone = meet(attack, train, decode, power=power, seed=seed)
    epsilon = torch.tensor([attack.budget.epsilon]).double()
    radius = float(attack.budget.radius(epsilon, power, train.shape[1]))
    return attack.fit(radius, everyone, draw)


def mean_damage(decode, signal: Tensor, delta: Tensor) -> float:
    return float(image_damage(decode, signal, delta).mean())


# --- strength -----------------------------------------------------------------------------------


def test_for_a_linear_decoder_it_is_the_direction_that_is_amplified_most():
    # Damage is ‖Aδ‖² whatever the codeword, so the best δ is the top right singular vector.
    decode, epsilon = LinearDecoder(SINGULAR), 0.4
    delta = fitted(universal("l2", epsilon), decode, latents(300, 6))
    optimum = (epsilon * SINGULAR[0]) ** 2
    assert mean_damage(decode, latents(50, 6, 9), delta[None]) == pytest.approx(optimum, rel=0.01)
    assert abs(float(delta @ decode.right[:, 0])) / epsilon > 0.99


@pytest.mark.parametrize(("norm", "epsilon"), [("l2", 0.5), ("linf", 0.2), ("psr_db", -12.0)])
def test_it_uses_its_whole_budget_and_no_more(norm, epsilon):
    decode, train = convolutional(), latents(100, 6)
    attack = universal(norm, epsilon, steps=10)
    delta = fitted(attack, decode, train, power=2.0)
    radius = attack.budget.radius(torch.tensor([epsilon]).double(), 2.0, 6).item()
    size = delta.abs().max() if norm == "linf" else delta.norm()
    assert float(size) == pytest.approx(radius, rel=1e-5)
    assert float(size) <= radius * (1 + 1e-7)


def test_a_target_that_is_nearer_than_the_budget_does_not_need_all_of_it():
    # All codewords are alike, and black is their negative: a larger δ overshoots.
    decode = LinearDecoder((1.2, 1.0, 0.9, 0.8))
    train = torch.tensor([[0.5, -0.2, 0.1, 0.3]]).repeat(64, 1)
    attack = universal("l2", 5.0, {"kind": "image", "target": "black"}, steps=300)
    delta = fitted(attack, decode, train)
    assert (delta + train[0]).norm() < 0.05
    nearer = universal("l2", 0.3, {"kind": "image", "target": "black"})
    assert float(fitted(nearer, decode, train).norm()) == pytest.approx(0.3, rel=1e-5)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_it_gains_on_its_start_and_on_noise_and_stays_below_an_attack_on_each_codeword(norm):
    decode, epsilon = convolutional(), 0.25
    train, held_out = latents(400, 6), latents(200, 6, seed=99)
    delta = fitted(universal(norm, epsilon), decode, train)[None]
    start = fitted(universal(norm, epsilon, restarts=1, steps=1, step_size=1e-9), decode, train)
    assert mean_damage(decode, train, delta) > 1.2 * mean_damage(decode, train, start[None])

    law = "gaussian" if norm == "l2" else "signs"
    noise = Noise(budget=Budget(norm=norm, epsilon=epsilon), law=law)
    jammed = noise.attack(held_out, meet(noise, held_out, decode)).delta
    assert delta.norm() <= jammed.norm(dim=1).max() * (1 + 1e-5)
    assert mean_damage(decode, held_out, delta) > 1.2 * mean_damage(decode, held_out, jammed)

    each = PGD(goal=DAMAGE, budget=Budget(norm=norm, epsilon=epsilon), steps=30, restarts=3)
    own = each.attack(held_out, meet(each, held_out, decode)).delta
    assert mean_damage(decode, held_out, delta) < mean_damage(decode, held_out, own)


def test_on_the_cube_it_finds_the_best_of_all_corners():
    decode, train = convolutional(), latents(300, 6)
    corners = 0.3 * torch.tensor(list(itertools.product([-1.0, 1.0], repeat=6)))
    best = max(mean_damage(decode, train, corner[None]) for corner in corners)
    delta = fitted(universal("linf", 0.3, restarts=4), decode, train)
    assert mean_damage(decode, train, delta[None]) > 0.98 * best


def test_restarts_never_make_it_worse_on_what_it_judges_by():
    decode, train = convolutional(), latents(200, 6)
    found = [
        mean_damage(decode, train, fitted(universal("linf", 0.5, restarts=n), decode, train)[None])
        for n in (1, 4)
    ]
    assert found[1] >= found[0]


def test_one_that_found_no_direction_sends_nothing_and_says_why():
    def deaf(wire: Tensor) -> Tensor:
        return (0.5 + 0.0 * wire.sum(dim=1))[:, None, None, None].expand(-1, 1, 4, 4)

    attack, train = universal(steps=3), latents(64, 6)
    delta = fitted(attack, deaf, train)
    assert not delta.any()
    signal = latents(4, 6, 2)
    rows = dataclasses.replace(meet(attack, signal, deaf), fitted=delta.expand(4, -1))
    assert set(attack.attack(signal, rows).verdict) == {records.ZERO_GRADIENT}


def test_every_training_codeword_comes_once_before_any_comes_again():
    seen: list[np.ndarray] = []
    fitted(universal(steps=5, batch=40), LinearDecoder(SINGULAR), latents(100, 6), spy=seen)
    order = np.concatenate(seen[:5])
    assert sorted(order[:100]) == sorted(order[100:200]) == list(range(100))
    assert list(order[:100]) != list(order[100:200])


# --- not knowing when a codeword begins ---------------------------------------------------------


@pytest.mark.parametrize("width", [2, 3, 8, 9])
def test_a_rotation_moves_whole_symbols_and_keeps_their_energy(width):
    delta = torch.arange(1.0, width + 1).repeat(200, 1)
    turned = rotated(delta, torch.linspace(0, 1, 200))
    assert torch.equal(turned.sort(dim=1).values, delta)  # the same values, so the same energy
    symbols = width // 2
    pairs = turned[:, : 2 * symbols].reshape(200, symbols, 2)
    assert torch.equal(pairs[:, :, 1], pairs[:, :, 0] + 1)  # I and Q of a symbol stay together
    assert torch.equal(turned[:, 2 * symbols :], delta[:, 2 * symbols :])
    # Circular: after symbol s comes s + 1, and after the last the first; all rotations occur.
    first = (pairs[:, :, 0] - 1) / 2
    assert torch.equal((first[:, 1:] - first[:, :-1]) % symbols, torch.ones(200, symbols - 1))
    assert set(first[:, 0].int().tolist()) == set(range(symbols))


def test_fitted_to_rotations_it_is_the_best_on_average_over_them():
    # Over all rotations S, mean ‖ASδ‖² = δᵀ(mean SᵀAᵀAS)δ: the top eigenvector of the mean.
    decode, epsilon = LinearDecoder((4.0, 1.0, 1.0, 0.5, 0.3, 0.2)), 0.4
    matrix = decode.jacobian.double().numpy()
    rolls = [np.roll(np.eye(6), 2 * s, axis=0) for s in range(3)]
    mean = sum(s.T @ matrix.T @ matrix @ s for s in rolls) / 3
    optimum = epsilon**2 * np.linalg.eigvalsh(mean)[-1]

    def over_rotations(delta: Tensor) -> float:
        vector = delta.double().numpy()
        return float(vector @ mean @ vector)

    train = latents(300, 6)
    unsure = fitted(universal("l2", epsilon, shift=True, steps=200), decode, train)
    sure = fitted(universal("l2", epsilon, steps=200), decode, train)
    assert over_rotations(unsure) == pytest.approx(optimum, rel=0.01)
    assert over_rotations(sure) < 0.95 * optimum


def test_rotations_are_drawn_anew_for_every_attempt_and_by_nothing_else():
    path = [{"kind": "universal", "goal": DAMAGE, "budget": {"norm": "l2", "epsilon": 0.5}}]
    receivers = {"plain": {"codec": LINEAR}}
    still = attempts(path=path, receivers=receivers)
    assert len(set(still["mse_passive"].round(5))) == 1
    path[0] = path[0] | {"shift": True}
    turned = attempts(path=path, receivers=receivers)
    assert turned["delta_l2"].astype(float) == pytest.approx(0.5, rel=1e-5)
    shares = np.unique(turned["mse_passive"].round(5), return_counts=True)[1] / 2000
    assert len(shares) > 1  # an isotropic part of the decoder hides some of the four
    assert (np.abs(shares / 0.25 - np.round(shares / 0.25)) < 0.2).all()


# --- separation of data -------------------------------------------------------------------------


FEW = {"kind": "dataset", "split": "train", "count": 100, "arrivals": {"kind": "once"}}


def header_of(**changes: Any) -> dict[str, Any]:
    return dict(
        next(e for e in simulate(scenario(**changes)) if isinstance(e, Started)).header.values
    )


PATH = [
    {"kind": "universal", "goal": DAMAGE, "budget": {"norm": "l2", "epsilon": 0.5}},
    {"kind": "awgn", "snr_db": 20.0},
]


def delta_of(**changes: Any) -> list[float]:
    return header_of(**({"path": PATH} | changes))["calibration"]["fitted"]["universal"]["0"]


def test_no_message_that_is_sent_takes_part_in_the_fit(monkeypatch):
    encoded: list[Tensor] = []
    original = Linear.posterior

    def spying(self: Linear, images: Tensor) -> Any:
        encoded.append(images.detach().clone())
        return original(self, images)

    loaded = scenario(path=PATH)
    monkeypatch.setattr(Linear, "posterior", spying)
    calibrate(loaded)
    monkeypatch.undo()
    seen = {row.numpy().tobytes() for batch in encoded for row in batch}
    sent = as_float(loaded.source.sent().images)
    split = as_float(loaded.source.calibration().images)
    assert len(seen) > 100
    assert seen <= {row.numpy().tobytes() for row in split}
    assert not seen & {row.numpy().tobytes() for row in sent}


def test_what_it_found_depends_on_the_seed_and_on_no_message_noise_or_thread():
    quick = [PATH[0] | {"steps": 5}, PATH[1]]
    found = delta_of(path=quick)
    assert len(found) == 8
    assert delta_of(path=quick) == found  # bit for bit
    one = {"kind": "dataset", "count": 3, "arrivals": {"kind": "once"}}
    assert delta_of(path=quick, source=one) == found
    assert delta_of(path=[quick[0], {"kind": "awgn", "snr_db": 0.0}]) == found
    assert delta_of(path=quick, seed=4) != found
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3 - min(2, threads))
        assert delta_of(path=quick) == found
    finally:
        torch.set_num_threads(threads)


def test_it_may_stand_over_the_air_and_hear_nothing_and_says_so():
    threat = header_of(path=PATH)["threats"]["universal"]
    assert threat["place"] == "on the wire, over the air"
    assert threat["causality"] == "over the air: nothing it sends depends on the message"
    assert threat["knowledge"] == ["encoder", "receiver weights", "training images"]
    assert threat["channel"] == "the law of the fading, fitted to other realisations"
    assert threat["effort"] == {
        "steps": 50,
        "restarts": 2,
        "gradients": 3200,
        "codewords at once": "all",
    }
    # A source as reference is one of the training split, not the message's.
    scenario(path=[PATH[0] | {"goal": {"kind": "damage", "reference": "source"}}])


# --- in a run -----------------------------------------------------------------------------------


def test_every_arm_of_a_batch_gets_what_was_fitted_for_it():
    # Two budgets share a batch, two receivers of unlike latent size share a name.
    receivers = {
        "plain": {"codec": LINEAR},
        "wide": {"codec": {"kind": "linear", "latent_size": 16}},
    }
    sweep = {"universal.budget.epsilon": [0, 0.25, 0.5]}
    loaded = scenario(path=PATH, receivers=receivers, sweep=sweep)
    paths = calibrate(loaded)
    assert paths.of_arm[1] == paths.of_arm[2] != paths.of_arm[4]
    stored = paths.report["fitted"]["universal"]
    assert {arm: len(delta) for arm, delta in stored.items()} == {"1": 8, "2": 8, "4": 16, "5": 16}
    rows = attempts(path=PATH, source=FEW, receivers=receivers, sweep=sweep)
    sizes = rows["delta_l2"].astype(float).reshape(6, 100)
    expected = np.array([0, 0.25, 0.5, 0, 0.25, 0.5])
    assert sizes == pytest.approx(np.repeat(expected[:, None], 100, axis=1), rel=1e-5)
    assert set(rows["verdict"].reshape(6, 100)[0]) == {"off"}
    # The rows of one budget are those of a run with that budget alone.
    quarter = PATH[0] | {"budget": {"norm": "l2", "epsilon": 0.25}}
    alone = attempts(path=[quarter, PATH[1]], source=FEW, receivers=receivers)
    assert (rows["mse_source"].reshape(6, 100)[[1, 4]].ravel() == alone["mse_source"]).all()


def test_before_the_encoder_it_is_one_pattern_on_every_image():
    # An isometric codec: what of the pattern lies in its eight directions moves the image as much.
    isometric = {"plain": {"codec": {"kind": "linear", "latent_size": 8}}}
    attack = {
        "kind": "universal",
        "goal": DAMAGE,
        "budget": {"norm": "linf", "epsilon": 0.1},
        "access": {"place": "before_encoder"},
    }
    rows = attempts(path=[attack], source=FEW, receivers=isometric, control=True)
    assert rows["delta_linf"].astype(float).max() == pytest.approx(0.1, rel=1e-6)
    assert rows["mse_clean"].mean() > 2 * rows["control_mse_clean"].mean()
    loaded = scenario(path=[attack], receivers=isometric)
    stored = calibrate(loaded).report["fitted"]["universal"]["0"]
    assert len(stored) == 32 * 32
    each = attempts(path=[attack | {"kind": "pgd"}], source=FEW, receivers=isometric)
    assert each["mse_clean"].mean() > rows["mse_clean"].mean()


def test_a_run_is_replayed_and_resumed_with_what_its_header_says(tmp_path, monkeypatch):
    small = scenario(path=PATH, sweep={"universal.budget.epsilon": [0.25, 0.5]})
    run = channelsim.run(small, out=tmp_path / "run")
    assert run.header()["calibration"]["fitted"]["universal"].keys() == {"0", "1"}
    assert channelsim.run(small, out=tmp_path / "run", resume=True).was_finished

    def refuse(*_: object) -> None:
        raise AssertionError("a replay fits nothing: the header says what was fitted")

    monkeypatch.setattr(Universal, "fit", refuse)
    again = replay(run.folder, 25)
    assert again.exact
    assert again.flips == ()


def test_fits_that_take_long_are_told_and_can_be_stopped():
    now, screen = [0.0], Console(file=io.StringIO(), width=80)
    display = PlainDisplay(screen, clock=lambda: now[0])
    told: list[Preparing] = []
    loaded = scenario(path=PATH, sweep={"universal.budget.epsilon": [0.25, 0.5]})
    for event in simulate(loaded, prepare=told.append):
        assert isinstance(event, Started)
        break
    assert [one.text for one in told] == [
        "fitting universal (arm 1 of 2)",
        "fitting universal (arm 2 of 2)",
    ]
    display.show(told[0])
    now[0] = 1.0
    display.show(told[0])
    assert screen.file.getvalue() == ""
    now[0] = 2.5
    display.show(told[1])
    assert screen.file.getvalue() == "fitting universal (arm 2 of 2) …\n"
    assert list(simulate(loaded, stop=lambda: True)) == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"batch": 8}, "batch: must be at least 32, was given 8"),
        ({"step_size": 0}, "step_size: must be more than 0"),
        ({"steps": 0}, "steps: must be at least 1"),
        (
            {"shift": True, "access": {"place": "before_encoder"}},
            "shift rotates symbols on the wire, but place is before_encoder",
        ),
        ({"goals": {}}, "unknown field for universal"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(fields, said):
    with pytest.raises(InputError) as error:
        scenario(path=[PATH[0] | fields])
    assert said in error.value.message
