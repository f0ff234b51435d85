"""Substitution by a relay: replayed codewords and codewords of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from helpers.known_decoders import LinearDecoder, latents, meet
from helpers.small_runs import attempts, scenario, table
from torch import Tensor

from channelsim import run
from channelsim.adversaries import ADVERSARIES, Replay, Substitute
from channelsim.contracts.adversary import Budget
from channelsim.contracts.parts import Stage, part
from channelsim.contracts.records import AttemptsDone, Batch
from channelsim.contracts.rows import Rows
from channelsim.ledger import Ledger, differences
from channelsim.runs.replay import replay as replayed_again
from channelsim.signal_path.calibration import calibrate
from channelsim.simulation.event_plane import simulate
from channelsim.support.errors import InputError, Interrupted

AMPLE = {"norm": "psr_db", "epsilon": 20.0}
LINEAR = {"kind": "linear", "latent_size": 8}
OLD = {"kind": "replay", "name": "mallory", "budget": AMPLE}
BLACK = {"kind": "image", "target": "black"}
OWN = {"kind": "substitute", "name": "mallory", "goal": BLACK, "budget": AMPLE}
NOISE = {"kind": "awgn", "snr_db": 10.0}


def transmitted(
    messages: list[int], replayed: list[int], **changes: Any
) -> tuple[dict, dict, dict]:
    """Columns, images and latents of some messages, with these recordings available."""
    paths = calibrate(scenario(**changes))
    count = len(messages)
    batch = replace(
        Batch.planned(np.array(messages), np.arange(count, dtype=np.float64)),
        replayed=np.array(replayed),
    )
    outcome, images, seen = paths.paths[0].transmit(batch)
    return outcome.columns, images, seen


# --- a replay that is whole -----------------------------------------------------------------------


@pytest.mark.parametrize("codec", [LINEAR, "kld-vae"], ids=["linear", "trained"])
@pytest.mark.parametrize("transmit", ["mean", "sample"])
def test_the_receiver_shows_to_the_bit_what_the_old_message_would_have_shown(codec, transmit):
    receivers = {"plain": {"codec": codec}}
    columns, images, _ = transmitted(
        [5, 6, 7, 8], [2, 0, 1, 5], path=[OLD], receivers=receivers, transmit=transmit
    )
    _, honest, _ = transmitted(
        [2, 0, 1, 5], [-1] * 4, path=[], receivers=receivers, transmit=transmit
    )
    assert torch.equal(images["received"], honest["clean"])
    assert not torch.equal(images["passive"], honest["clean"])
    assert (columns["mse_target"] == 0).all()
    assert set(columns["verdict"]) == {"ok"}


def test_behind_noise_the_receiver_shows_the_old_message_in_the_noise_of_now():
    _, _, latent = transmitted([5, 6], [1, 2], path=[OLD, NOISE])
    _, _, honest = transmitted([1, 2], [-1, -1], path=[])
    shift = (latent["received"] - honest["sent"]).double()
    own = (latent["passive"] - latent["sent"]).double()
    assert shift.numpy() == pytest.approx(own.numpy(), abs=1e-5)
    assert float(own.abs().min()) > 0


def test_noise_in_front_of_the_recorder_is_not_recorded():
    columns, images, _ = transmitted([5, 6], [1, 2], path=[NOISE, OLD])
    _, honest, _ = transmitted([1, 2], [-1, -1], path=[])
    assert torch.equal(images["received"], honest["clean"])
    assert set(columns["verdict"]) == {"ok"}


@part
class Turned(Stage):
    """Every value times ``by``: a known fade."""

    kind: ClassVar[str] = "turned"

    name: str = ""
    by: float

    def cross(self, signal: Tensor, rows: Rows) -> Tensor:
        return signal * self.by

    def foresee(self, signal: Tensor, rows: Rows) -> Tensor:
        return signal * self.by


def test_an_old_codeword_crosses_the_fading_of_today():
    fade, equaliser = Turned(name="fade", by=-0.25), Turned(name="equaliser", by=-4.0)
    for adversary in (OLD, OWN):
        columns, _, _ = transmitted([5, 6], [1, 2], path=[fade, adversary, equaliser])
        other, _, _ = transmitted([5, 6], [1, 2], path=[adversary])
        assert set(columns["verdict"]) == {"ok"}
        for name in ("mse_source", "mse_target"):
            assert (columns[name] == other[name]).all()


@pytest.mark.parametrize(
    ("power", "exact"),
    [
        ({"level": "unit"}, True),
        ({"centred": True}, True),
        ({"mode": "codeword", "amplitude": "lost"}, True),
        ({"mode": "codeword", "amplitude": "known"}, False),
    ],
)
def test_side_information_stays_that_of_the_message_it_was_meant_for(power, exact):
    _, images, latent = transmitted([5, 6, 7], [0, 1, 2], path=[OLD], power=power)
    _, honest, others = transmitted([0, 1, 2], [-1] * 3, path=[], power=power)
    assert torch.equal(images["received"], honest["passive"]) == exact
    if not exact:  # the old shape at the amplitude of the message that was held
        own, old = latent["received"].double(), others["sent"].double()
        cosine = (own * old).sum(1) / own.norm(dim=1) / old.norm(dim=1)
        assert cosine.numpy() == pytest.approx(1.0, abs=1e-6)
        assert own.norm(dim=1).numpy() == pytest.approx(latent["sent"].norm(dim=1), rel=1e-5)


@pytest.mark.parametrize(("epsilon", "whole"), [(5.9, False), (6.1, True)])
def test_six_decibels_are_enough_where_every_codeword_has_the_same_power(epsilon, whole):
    # ‖a − b‖² ≤ 4·K·P, 6.02 dB over K·P, attained by b = −a.
    signal = latents(4, 10)
    signal = signal * (10 * 2.5) ** 0.5 / torch.linalg.vector_norm(signal, dim=1, keepdim=True)
    stage = Replay(budget=Budget(norm="psr_db", epsilon=epsilon))
    rows = meet(stage, signal, LinearDecoder([1.0] * 10), power=2.5, message=np.arange(4) + 4)
    assert rows.knowledge is not None
    rows.knowledge = replace(rows.knowledge, sent_of=lambda message: -signal[message])
    rows.replayed = np.arange(4)
    sent = (signal + stage.attack(signal, rows).delta).to(signal.dtype)
    assert torch.equal(sent, -signal) == whole


# --- a replay that is cut -------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["l2", "psr_db", "linf"])
def test_too_small_a_budget_cuts_the_length_and_leaves_the_direction(norm):
    epsilon = -20.0 if norm == "psr_db" else 0.1
    budget = {"norm": norm, "epsilon": epsilon}
    _, _, seen = transmitted([5, 6, 7], [0, 1, 2], path=[OLD | {"budget": budget}])
    _, _, old = transmitted([0, 1, 2], [-1] * 3, path=[])
    delta = (seen["received"] - seen["sent"]).double()
    wanted = (old["sent"] - seen["sent"]).double()
    if norm == "linf":
        assert delta.numpy() == pytest.approx(wanted.clamp(-0.1, 0.1).numpy(), abs=1e-5)
        return
    power = calibrate(scenario(path=[])).paths[0].setting.power
    radius = 0.1 if norm == "l2" else (8 * power * 10**-2) ** 0.5
    assert delta.norm(dim=1).numpy() == pytest.approx(radius, rel=1e-4)
    cosine = (delta * wanted).sum(1) / delta.norm(dim=1) / wanted.norm(dim=1)
    assert cosine.numpy() == pytest.approx(1.0, abs=1e-5)


def test_with_every_decibel_the_receiver_comes_closer_to_the_old_message():
    swept = {"mallory.budget.epsilon": [-np.inf, -20.0, -10.0, 0.0, 20.0]}
    rows = attempts(path=[OLD], sweep=swept, source={"kind": "dataset", "count": 30})
    away = rows["mse_target"].astype(float).reshape(5, 30)[:, 1:]
    assert (np.diff(away, axis=0) <= 1e-9).all()
    assert (away[-1] == 0).all()
    assert (away[0] > 0).all()  # the target is recorded even without a budget
    assert set(rows["verdict"][:30]) == {"off"}
    assert (rows["replayed"][1:30] == np.arange(29)).all()


def test_the_control_is_noise_of_the_same_energy():
    # The linear decoder is isometric: equal norms do equal damage.
    rows = attempts(path=[OLD], source={"kind": "dataset", "count": 40}, control=True)
    moved = rows["verdict"] == "ok"
    damage, control = (rows[name][moved] for name in ("mse_passive", "control_mse_passive"))
    assert control == pytest.approx(damage, rel=1e-4)
    assert (rows["control_mse_target"][moved] > 0).all()
    # Nothing recorded: nothing injected, also by the control, and no target image.
    assert rows["mse_passive"][~moved] == [0.0]
    assert rows["control_mse_passive"][~moved] == [0.0]
    assert np.isnan(rows["mse_target"][~moved].astype(float)).all()
    assert np.isnan(rows["control_mse_target"][~moved].astype(float)).all()


# --- whose codeword it is -------------------------------------------------------------------------

BUSY = {
    "source": {"kind": "dataset", "count": 30, "arrivals": {"kind": "poisson", "rate_hz": 40}},
    # 4 symbols in 10 ms, answers after 60 ms: several messages are under way at a time, and wait.
    "link": {"latency_s": 0.02, "symbol_rate_hz": 400, "loss": 0.2, "max_attempts": 3},
    "receivers": {
        "trusting": {"codec": LINEAR},
        "watchful": {
            "codec": LINEAR,
            "detector": {"kind": "latent-density", "false_alarm": 0.3},
            "latency_s": 0.02,
        },
    },
    "path": [OLD | {"back": 3}, {"kind": "awgn", "snr_db": 3.0}],
    "sweep": {"mallory.back": [1, 3, 7]},
    "block_rows": 16,
}


def arms(rows: dict[str, np.ndarray], count: int = 30) -> Iterator[dict[str, np.ndarray]]:
    for arm in range(6):
        chosen = rows["transmission"] // count == arm
        yield {name: values[chosen] for name, values in rows.items()}


def test_the_replayed_are_those_sent_so_many_codewords_before_by_the_clock():
    rows = table(list(simulate(scenario(**BUSY))), AttemptsDone)
    assert (rows["lost"] == 1).sum() > 20
    out_of_order = 0
    for back, arm in zip([1, 3, 7] * 2, arms(rows), strict=True):
        order = np.argsort(arm["began_s"])
        assert (np.diff(arm["began_s"][order]) > 0).all()
        message = (arm["transmission"] % 30)[order]
        replayed = arm["replayed"][order]
        assert (replayed[back:] == message[:-back]).all()
        assert all(one is None for one in replayed[:back])
        verdict = arm["verdict"][order]
        own = np.array([False] * back + list(message[back:] == message[:-back]))
        assert (verdict[:back] == "idle").all()
        assert (verdict[own] == "idle").all()
        assert set(verdict[back:][~own[back:]]) == {"ok"}
        out_of_order += (np.diff(message) < 0).sum()
    assert out_of_order > 20, "repeats fell in between: the order is not that of the numbers"


def test_an_earlier_attempt_of_its_own_is_no_old_codeword():
    source = {"kind": "dataset", "count": 1, "arrivals": {"kind": "once"}}
    # Noise in front of the recorder: its recording would differ from the codeword it holds.
    alone = {"source": source, "link": BUSY["link"] | {"loss": 0.99}, "path": [NOISE, OLD]}
    rows = table(list(simulate(scenario(**(BUSY | alone | {"sweep": {}})))), AttemptsDone)
    assert rows["replayed"].tolist() == [None, 0, 0] * 2
    assert set(rows["verdict"]) == {"idle"}
    assert (rows["delta_l2"] == 0).all()


def test_what_was_at_hand_depends_neither_on_waiting_nor_on_an_interruption(tmp_path: Path):
    few = BUSY["source"] | {"count": 8}
    told = {"title": "a story", "seed": 3, "metrics": ["mse"], "control": False}
    told |= BUSY | {"source": few, "sweep": {"mallory.back": [2]}, "block_rows": 4}
    for pending in (1, 64):
        run(told | {"max_pending": pending}, out=tmp_path / str(pending))
    seen = 0

    def strike(event: Any) -> None:
        nonlocal seen
        seen += isinstance(event, AttemptsDone)
        if seen == 3:
            raise KeyboardInterrupt

    with pytest.raises((Interrupted, KeyboardInterrupt)):
        run(told | {"max_pending": 4}, out=tmp_path / "struck", on_event=strike)
    done = run(told, out=tmp_path / "struck", resume=True)
    with Ledger.open(tmp_path / "1" / "ledger.sqlite") as calm:
        for other in ("64", "struck"):
            with Ledger.open(tmp_path / other / "ledger.sqlite") as ledger:
                assert ledger.finished
                assert differences(calm, ledger) == []
    for transmission in (0, 9, 15):
        again = replayed_again(done.folder, transmission)
        assert again.exact
        assert again.flips == ()


def test_arms_that_go_back_differently_share_a_batch_and_not_a_recording():
    assert len(calibrate(scenario(**BUSY)).paths) == 2  # one per receiver
    alone = table(
        list(simulate(scenario(**(BUSY | {"sweep": {"mallory.back": [3]}})))), AttemptsDone
    )
    together = table(list(simulate(scenario(**BUSY))), AttemptsDone)
    for one, arm in ((0, 1), (1, 4)):
        left = {n: v[alone["transmission"] // 30 == one] for n, v in alone.items()}
        right = {n: v[together["transmission"] // 30 == arm] for n, v in together.items()}
        for name in ("replayed", "began_s", "mse_source", "score", "verdict"):
            assert np.array_equal(left[name], right[name], equal_nan=name in ("score",))


# --- a codeword of its own ------------------------------------------------------------------------


def test_the_receiver_shows_what_the_codec_makes_of_the_chosen_image():
    for target in ("black", "white", "random", "inverse", "message"):
        goal = {"kind": "image", "target": target}
        columns, images, _ = transmitted([3, 4], [-1, -1], path=[OWN | {"goal": goal}])
        path = calibrate(scenario(path=[])).paths[0]
        codec = path.transmitter.codec
        # The target lies in the image space; the image shown is its projection onto the codec's.
        again = codec.decode(codec.encode(images["received"]))
        assert torch.allclose(again, images["received"], atol=1e-5)
        if target == "black":
            assert not images["received"].any()
            assert columns["mse_target"].tolist() == [0.0, 0.0]
        if target == "white":
            assert torch.allclose(images["received"], torch.ones(1), atol=1e-5)
        if target == "inverse":
            shown = codec.decode(codec.encode((1 - images["clean"]).clamp(0, 1)))
            assert torch.allclose(images["received"], shown, atol=1e-5)
        off, _, _ = transmitted(
            [3, 4], [-1, -1], path=[OWN | {"goal": goal, "budget": {"norm": "l2", "epsilon": 0.0}}]
        )
        assert (columns["mse_target"] < off["mse_target"]).all()
        assert set(columns["verdict"]) == {"ok"}


def test_a_codeword_of_a_picture_from_a_file(tmp_path: Path):
    pixels = np.zeros((32, 32), dtype=np.float32)
    pixels[8:24, 8:24] = 0.75
    np.save(tmp_path / "square.npy", pixels)
    goal = {"kind": "image", "target": "file", "file": str(tmp_path / "square.npy")}
    columns, images, _ = transmitted([3], [-1], path=[OWN | {"goal": goal}])
    codec = calibrate(scenario(path=[])).paths[0].transmitter.codec
    honest = codec.decode(codec.encode(torch.from_numpy(pixels)[None, None]))
    assert torch.allclose(images["received"], honest, atol=1e-5)
    wanted = (honest.double() - torch.from_numpy(pixels).double()).square().mean()
    assert columns["mse_target"][0] == pytest.approx(float(wanted), rel=1e-4)


def test_drawn_codewords_can_be_replayed_and_substituted():
    source = {"kind": "prior", "count": 12, "arrivals": {"kind": "once"}}
    receivers = {"plain": {"codec": "kld-vae"}}
    replayed = attempts(source=source, receivers=receivers, path=[OLD])
    assert (replayed["mse_target"][1:] == 0).all()
    own = attempts(source=source, receivers=receivers, path=[OWN])
    assert len(set(own["mse_target"])) == 1  # all show the same: the codec's black


# --- detection ------------------------------------------------------------------------------------


def test_a_detector_of_latents_scores_a_replay_as_the_honest_codeword_it_is():
    receivers = {"watchful": {"codec": "kld-vae", "detector": {"kind": "latent-density"}}}
    source = {"kind": "dataset", "count": 40, "arrivals": {"kind": "once"}}
    rows = attempts(
        source=source,
        receivers=receivers,
        path=[OLD],
        sweep={"mallory.budget.epsilon": [-np.inf, 20.0]},
    )
    honest, replayed = rows["score"][:40], rows["score"][40:]
    assert (replayed[1:] == honest[:-1]).all()
    own = attempts(source=source, receivers=receivers, path=[OWN])
    assert len(set(own["score"])) == 1


# --- the contract ---------------------------------------------------------------------------------


def test_the_attack_itself_keeps_to_what_it_was_told():
    decoder = LinearDecoder([1.0, 1.0, 1.0])
    signal = latents(4, 3)
    stage = Replay(budget=Budget(norm="psr_db", epsilon=20.0))
    rows = meet(stage, signal, decoder)
    assert rows.knowledge is not None
    old = latents(10, 3, seed=9)
    rows.knowledge = replace(rows.knowledge, sent_of=lambda message: old[message])
    rows.replayed = np.array([7, -1, 2, 0])
    found = stage.attack(signal, rows)
    assert found.verdict.tolist() == ["ok", "idle", "idle", "ok"]  # message 2 is its own
    sent = (signal + found.delta).to(signal.dtype)
    assert torch.equal(sent, torch.stack([old[7], signal[1], signal[2], old[0]]))
    rows.replayed = None
    assert set(stage.attack(signal, rows).verdict) == {"idle"}


def test_replays_and_substitutes_are_known_by_name_and_say_what_they_know():
    assert {"replay", "substitute"} <= set(ADVERSARIES)
    old, own = (
        Replay(back=4, budget=Budget(epsilon=1.0)),
        Substitute(goal={"kind": "image", "target": "message"}, budget=Budget(epsilon=1.0)),
    )
    assert old.recall == 4
    assert own.recall == 0
    assert "earlier codewords" in old.threat["knowledge"]
    assert own.threat["knowledge"] == ["codeword", "encoder", "other messages"]
    assert "relay" in old.threat["causality"]


SECOND = OLD | {"name": "second", "back": 2}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ([OLD | {"back": 0}], "back: must be at least 1, was given 0"),
        ([OLD | {"back": 1.5}], "back: must be a whole number, was given 1.5"),
        ([OLD | {"access": {"place": "before_encoder"}}], "stands on the wire; use place: relay"),
        ([OWN | {"access": {"place": "before_encoder"}}], "stands on the wire; use place: relay"),
        ([OLD | {"access": {"place": "over_the_air"}}], "nobody has seen it before"),
        ([OWN | {"goal": {"kind": "damage"}}], "goal"),
        ([OLD, SECOND], "replays an older or younger codeword"),
        ([{"kind": "replay"}], "budget: missing; replay needs it"),
        ([{"kind": "substitute", "budget": AMPLE}], "goal: missing; substitute needs it"),
    ],
)
def test_what_makes_no_sense_is_told_in_a_sentence(path, said):
    with pytest.raises(InputError) as error:
        scenario(path=path)
    assert said in error.value.message
    assert "Traceback" not in error.value.message


def test_two_that_go_back_equally_far_may_share_a_path():
    assert len(scenario(path=[OLD, SECOND | {"back": 1}]).arms) == 1
