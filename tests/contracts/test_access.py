"""Adversaries' places, channel knowledge and timing: causality, enforced."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from helpers.known_decoders import LinearDecoder, convolutional, latents
from helpers.small_runs import MANY, attempts, scenario, table
from rich.console import Console
from torch import Tensor, nn

import channelsim
from channelsim.adversaries import ADVERSARIES, PGD, Noise, Universal
from channelsim.adversaries.objective import objective
from channelsim.contracts.access import Access, Activity, OwnPath
from channelsim.contracts.adversary import Adversary, Budget
from channelsim.contracts.parts import Stage, part
from channelsim.contracts.records import Batch, TransmissionsDone
from channelsim.contracts.rows import Knowledge, Perturbation, Rows
from channelsim.contracts.stages import Stages
from channelsim.display.full_summary import print_summary
from channelsim.report.curve_charts import curves
from channelsim.report.gallery import gallery
from channelsim.scenario import Scenario
from channelsim.scenario.catalog import part_schema
from channelsim.signal_path import Setting
from channelsim.signal_path.adversary_view import Foresight
from channelsim.signal_path.calibration import calibrate
from channelsim.signal_path.wire import cross
from channelsim.simulation import header as fingerprint
from channelsim.simulation.event_plane import simulate
from channelsim.sources import as_float
from channelsim.support.errors import InputError

SINGULAR = (3.0, 2.0, 1.5, 1.0, 0.9, 0.8, 0.7, 0.5)
DAMAGE = {"kind": "damage"}
BLACK = {"kind": "image", "target": "black"}
T = 0.25  # seconds per complex symbol


def pgd(goal: Any = None, epsilon: float = 0.5, activity: Any = None, **access: Any) -> PGD:
    return PGD(
        goal=goal or BLACK,
        budget=Budget(norm="l2", epsilon=epsilon),
        access=Access(**access),
        activity=Activity(**(activity or {})),
    )


# --- a wire with nothing around it --------------------------------------------------------------


def on_a_wire(
    stages: Sequence[Stage], width: int, *, mean: Tensor | None = None, seed: int = 7
) -> Setting:
    return Setting(
        stages=Stages(stages),
        columns={
            one.label: {name: np.array([value]) for name, value in one.column_values().items()}
            for one in stages
        },
        symbol_s=np.array([T]),
        fitted={},
        power=1.0,
        mean=torch.zeros(width) if mean is None else mean,
        pixel_power=1.0,
        labels=None,
        active=True,
        control=True,
        seed=seed,
    )


def batch(count: int, began_s: np.ndarray | None = None) -> Batch:
    began = np.arange(count, dtype=np.float64) if began_s is None else began_s
    return Batch.planned(np.arange(count), began)


def knowing(decode, signal: Tensor) -> Knowledge:
    with torch.no_grad():
        clean = decode(signal)
    return Knowledge(
        decode=decode,
        source=clean,
        clean=clean,
        power=1.0,
        source_of=lambda message: clean[torch.from_numpy(message)],
        clean_of=lambda message: clean[torch.from_numpy(message)],
        messages=len(signal),
    )


def crossed(
    stages: Sequence[Stage], signal: Tensor, decode, began_s: np.ndarray | None = None, **more: Any
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The three signals behind some stages, and the log."""
    setting = on_a_wire(stages, signal.shape[1], **more)
    wires = dict.fromkeys(("passive", "attacked", "control"), signal)
    sent = batch(len(signal), began_s)
    signals, _, log = cross(setting, wires, sent, knowing(decode, signal))
    return signals, log


def delta_of(stage: Stage, signal: Tensor, decode, **more: Any) -> Tensor:
    """The injection of an adversary alone on the wire, to the last bit."""
    return injected([stage], signal, decode, **more)


def injected(stages: Sequence[Stage], signal: Tensor, decode, **more: Any) -> Tensor:
    """The injection of the only adversary on the wire, to the last bit."""
    found: list[Tensor] = []
    original = Adversary.attack

    def spying(self: Adversary, *given: Any) -> Perturbation:
        found.append(original(self, *given).delta)
        return original(self, *given)

    with mock.patch.object(Adversary, "attack", spying):
        crossed(stages, signal, decode, **more)
    (delta,) = found
    return delta


# --- causality ----------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [8, 7])
@pytest.mark.parametrize(
    ("heard", "reaction_s", "first"),
    [(1, 0.0, 1), (1, T, 2), (1, 1.01 * T, 3), (2, 0.1, 3), (3, 0.0, 3), (1, 0.3 / 0.3 * T, 2)],
)
def test_who_hears_first_and_reacts_later_touches_only_what_is_left(
    heard, reaction_s, first, width
):
    decode, signal = LinearDecoder(SINGULAR[:width]), latents(20, width)
    access = {"place": "over_the_air", "listen_symbols": heard, "reaction_s": reaction_s}
    delta = delta_of(pgd(**access), signal, decode)
    assert not delta[:, : 2 * first].any()
    assert (delta[:, 2 * first :] != 0).any(dim=0).all()
    noise = Noise(budget=Budget(norm="l2", epsilon=0.5), access=Access(**access))
    assert torch.equal(
        delta_of(noise, signal, decode) != 0,
        (delta != 0) | (delta == 0) & (torch.arange(width) >= 2 * first),
    )


@pytest.mark.parametrize("goal", [BLACK, DAMAGE, {"kind": "image", "target": "inverse"}])
def test_nothing_that_it_has_not_heard_changes_what_it_injects(goal):
    decode, signal = convolutional(latent_size=8), latents(20, 8)
    reactive = pgd(goal, place="over_the_air", listen_symbols=2)
    delta = delta_of(reactive, signal, decode)
    assert delta[:, 4:].any(dim=1).all()
    otherwise = signal.clone()
    otherwise[:, 4:] = latents(20, 4, seed=5)  # the unheard symbols, and with them g(z) and x
    assert torch.equal(delta_of(reactive, otherwise, decode), delta)
    heard = signal.clone()
    heard[:, 3] += 0.5
    assert (delta_of(reactive, heard, decode) != delta).any(dim=1).all()
    # A relay holds all of it, and uses it.
    relay = pgd(goal)
    assert not torch.equal(delta_of(relay, otherwise, decode), delta_of(relay, signal, decode))


def test_what_it_does_not_hear_it_takes_for_the_mean_codeword():
    decode, signal, mean = convolutional(latent_size=8), latents(20, 8), torch.linspace(-1, 1, 8)
    reactive = pgd(place="over_the_air", listen_symbols=2)
    delta = delta_of(reactive, signal, decode, mean=mean)
    believed = torch.cat([signal[:, :4], mean[4:].expand(20, 4)], dim=1)
    assert torch.equal(delta_of(reactive, believed, decode, mean=mean), delta)
    assert not torch.equal(delta_of(reactive, signal, decode), delta)


def test_loudness_over_the_air_is_that_of_the_symbols_that_were_heard():
    decode = LinearDecoder(SINGULAR)
    signal = torch.full((2, 8), 0.1)
    signal[0, :2] = 1.5  # loud at once
    signal[1, 6:] = 9.0  # loud at the end
    loud = {"louder_than_db": 0.0}
    air = pgd(activity=loud, place="over_the_air", listen_symbols=1)
    assert delta_of(air, signal, decode).any(dim=1).tolist() == [True, False]
    assert delta_of(pgd(activity=loud), signal, decode).any(dim=1).tolist() == [False, True]


class _Sigmoid(nn.Module):
    """A codec whose images depend nonlinearly on the amplitude of a codeword."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.inward = nn.Parameter(0.1 * torch.randn(1024, 8, generator=generator))
        self.outward = nn.Parameter(0.5 * torch.randn(8, 1024, generator=generator))

    def encode(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.inward

    def decode(self, latent: Tensor) -> Tensor:
        return torch.sigmoid(latent @ self.outward).view(-1, 1, 32, 32)


def test_over_the_air_nobody_is_told_the_amplitude_that_the_receiver_is_told():
    # Every codeword is scaled to equal power; its amplitude travels to the receiver on its own.
    # Images that differ only in brightness then look alike on the wire.
    def found(brightness: float, attack: dict[str, Any]) -> tuple[float, float]:
        receivers = {"plain": {"codec": _Sigmoid().requires_grad_(False)}}
        loaded = scenario(path=[attack], receivers=receivers, power={"mode": "codeword"})
        (path,) = calibrate(loaded).paths
        changed = dataclasses.replace(path, images=brightness * as_float(path.images))
        _, _, latent = changed.transmit(batch(4))
        gain = latent["sent"].norm(dim=1)  # of equal power on the wire
        delta = (latent["received"] - latent["passive"]) / gain[:, None]
        return float(delta[0, 4]), float(delta[0, 5])

    budget = {"norm": "psr_db", "epsilon": -6.0}
    air = {"place": "over_the_air", "listen_symbols": 1}
    attack = {"kind": "pgd", "goal": DAMAGE, "budget": budget}
    assert found(1.0, attack | {"access": air}) == pytest.approx(
        found(0.2, attack | {"access": air}), rel=1e-4
    )
    assert found(1.0, attack) != pytest.approx(found(0.2, attack), rel=1e-2)


class _Curious(Noise):
    """Declares no knowledge, and reads it anyway."""

    seen: Tensor | None = None

    def perturb(
        self, signal: Tensor, radius: Tensor, rows: Rows, knowledge: Knowledge
    ) -> tuple[Tensor, np.ndarray]:
        assert knowledge.loss is not None
        lost = knowledge.loss(signal).mean()
        type(self).seen = torch.stack([knowledge.clean.mean(), knowledge.source.mean(), lost])
        return knowledge.clean.flatten(1)[:, : signal.shape[1]], np.full(len(signal), "ok")


def test_what_it_says_it_does_not_know_is_of_no_use_over_the_air():
    decode, signal = LinearDecoder(SINGULAR), latents(4, 8)

    def loss(wire: Tensor, sent: Tensor = signal) -> Tensor:
        return (wire * sent).sum(1)

    known = dataclasses.replace(knowing(decode, signal), loss=loss, overheard_loss=loss)
    setting = on_a_wire([_Curious(budget=Budget(norm="l2", epsilon=0.5))], 8)
    wires = dict.fromkeys(("passive", "attacked", "control"), signal)
    signals, _, log = cross(setting, wires, batch(4), known)
    assert _Curious.seen is not None
    assert torch.isnan(_Curious.seen).all()
    assert torch.equal(signals["attacked"], signal)
    assert set(log["verdict"]) == {"nonfinite"}


class _Roundabout(Noise):
    """Requests its own message among the others, in every second row."""

    def perturb(
        self, signal: Tensor, radius: Tensor, rows: Rows, knowledge: Knowledge
    ) -> tuple[Tensor, np.ndarray]:
        wanted = rows.message ^ (rows.message % 2)  # itself, its neighbour, itself, …
        seen = knowledge.clean_of(wanted)
        return seen.flatten(1)[:, : signal.shape[1]], np.full(len(signal), "ok")


def test_over_the_air_ones_own_message_is_not_among_the_others():
    decode, signal = LinearDecoder(SINGULAR), latents(4, 8)
    budget = Budget(norm="l2", epsilon=0.5)
    _, log = crossed([_Roundabout(budget=budget)], signal, decode)
    assert list(log["verdict"]) == ["nonfinite", "ok", "nonfinite", "ok"]
    _, log = crossed([_Roundabout(budget=budget, access=Access(place="relay"))], signal, decode)
    assert set(log["verdict"]) == {"ok"}


def test_a_universal_attack_sends_the_same_whatever_is_sent():
    attack = Universal(goal=DAMAGE, budget=Budget(norm="l2", epsilon=0.5))
    setting = on_a_wire([attack], 8)
    fitted = {"universal": {0: torch.linspace(-0.2, 0.2, 8)}}
    setting = dataclasses.replace(setting, fitted=fitted)
    decode, found = LinearDecoder(SINGULAR), []
    for signal in (latents(5, 8), latents(5, 8, seed=4)):
        wires = dict.fromkeys(("passive", "attacked", "control"), signal)
        signals, _, _ = cross(setting, wires, batch(5), knowing(decode, signal))
        found.append(signals["attacked"] - signal)
    assert torch.allclose(found[0], found[1], atol=1e-6)
    assert found[0][0].numpy() == pytest.approx(fitted["universal"][0].numpy(), abs=1e-6)


# --- mistakes in a file -------------------------------------------------------------------------

FILE = """\
source: {kind: dataset, count: 20}
link: {symbol_rate_hz: 4}
path:
  - kind: pgd
    name: mallory
    goal: {kind: damage}
    budget: {norm: l2, epsilon: 0.5}
    access: ACCESS
    activity: ACTIVITY
receivers:
  plain: {codec: {kind: linear, latent_size: 8}}
"""


@pytest.mark.parametrize(
    ("access", "activity", "said"),
    [
        (
            "{place: over_the_air}",
            "{}",
            "study.yaml:8  path[0].access: pgd needs the codeword, and over the air nobody has seen"
            " it before its symbols are sent; use place: relay, kind: universal, or listen_symbols",
        ),
        (
            "{place: over_the_air, listen_symbols: 4}",
            "{}",
            "study.yaml:8  path[0].access: it hears 4 of 4 symbols and reacts 0 s later, when all 4"
            " are sent (1 s of airtime); listen to fewer, react faster, or use place: relay",
        ),
        (
            "{place: over_the_air, listen_symbols: 2, reaction_s: 0.3}",
            "{}",
            "it hears 2 of 4 symbols and reacts 0.3 s later, when all 4 are sent",
        ),
        (
            "{place: over_the_air, reaction_s: 0.3}",
            "{}",
            "study.yaml:8  path[0].access: reaction_s is 0.3, but over the air without"
            " listen_symbols there is nothing to react to; give listen_symbols, or remove reaction",
        ),
        (
            "{listen_symbols: 2}",
            "{}",
            "study.yaml:8  path[0].access: listen_symbols is for place: over_the_air, but place is"
            " relay; others hold the whole codeword, or the image",
        ),
        ("{place: nowhere}", "{}", "study.yaml:8  path[0].access.place: must be relay, over_the"),
        ("{channel: stale}", "{}", "channel: stale needs stale_s, the age of what is known [s]"),
        ("{stale_s: 1}", "{}", "stale_s is for channel: stale, but channel is exact"),
        ("{expectation: -1}", "{}", "path[0].access.expectation: must be at least 0, was given -1"),
        ("{own_path: {gain: 3}}", "{}", "unknown field for ownpath (known: gain_db, k_factor,"),
        ("{own_path: 3}", "{}", "path[0].access.own_path: must be a mapping"),
        ("{place: before_encoder, reaction_s: 1}", "{}", "before_encoder has no reaction_s"),
        ("{}", "{duty_cycle: 0.5}", "a duty_cycle below 1 needs period_s, how often it repeats"),
        ("{}", "{duty_cycle: 0, period_s: 1}", "duty_cycle must be in (0, 1], not 0"),
        ("{}", "{windows: [[3, 2]]}", "window [3, 2] must end after it begins"),
        ("{}", "{every: 3, first: 3}", "first must be below every (3), not 3"),
        ("{}", "{classes: [11]}", "mallory: class 11 is not among the images that are sent"),
        ("{}", "{energy: 5, louder_than_db: 0}", "remove energy or louder_than_db"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason_and_the_place(tmp_path, access, activity, said):
    path = tmp_path / "study.yaml"
    path.write_text(FILE.replace("ACCESS", access).replace("ACTIVITY", activity))
    with pytest.raises(InputError) as error:
        Scenario.load(path)
    assert said in error.value.message
    assert error.value.message.count("path[0]") == 1  # once


def test_over_the_air_a_source_is_refused_and_loudness_needs_ears():
    hears = {"place": "over_the_air", "listen_symbols": 1}
    attack = {"kind": "pgd", "goal": DAMAGE | {"reference": "source"}, "budget": {"epsilon": 1}}
    with pytest.raises(InputError, match="over the air never sees the source image"):
        scenario(path=[attack | {"access": hears}])
    deaf = {"kind": "noise", "budget": {"epsilon": 1}, "activity": {"louder_than_db": 3}}
    with pytest.raises(InputError, match="louder_than_db needs the codeword, and over the air"):
        scenario(path=[deaf])
    scenario(path=[deaf | {"access": {"listen_symbols": 1}}])  # and stays over the air


def test_a_swept_link_too_fast_for_it_is_refused_at_the_value_of_the_sweep(tmp_path):
    path = tmp_path / "study.yaml"
    air = "{place: over_the_air, listen_symbols: 1, reaction_s: 0.5}"
    text = FILE.replace("ACCESS", air).replace("ACTIVITY", "{}")
    path.write_text(text + "sweep:\n  mallory.access.reaction_s: [0.25, 0.75]\n")
    with pytest.raises(InputError) as error:
        Scenario.load(path)
    assert "study.yaml:13  sweep.mallory.access.reaction_s[1]: it hears 1 of 4" in (
        error.value.message
    )


# --- relays pay with time -----------------------------------------------------------------------


def times(path: list[Any], **changes: Any) -> dict[str, np.ndarray]:
    source = {"kind": "dataset", "count": 20, "arrivals": {"kind": "periodic", "rate_hz": 0.1}}
    loaded = scenario(**({"path": path, "source": source} | changes))
    return table(list(simulate(loaded)), TransmissionsDone)


def test_a_relay_delays_exactly_the_codewords_that_it_takes():
    relay = {
        "kind": "noise",
        "budget": {"norm": "l2", "epsilon": 0.5},
        "access": {"place": "relay", "reaction_s": 0.3},
        "activity": {"every": 2, "first": 1},
    }
    late = times([relay])["done_s"] - times([])["done_s"]
    assert late == pytest.approx(np.tile([0.0, 0.3], 10), abs=1e-12)
    windows = relay | {"activity": {"windows": [[0, 35]]}}  # messages come every ten seconds
    late = times([windows])["done_s"] - times([])["done_s"]
    assert late == pytest.approx(0.3 * (np.arange(20) < 4), abs=1e-12)
    off = relay | {"budget": {"norm": "l2", "epsilon": 0}}
    assert (times([off])["done_s"] == times([])["done_s"]).all()
    air = relay | {"access": {"listen_symbols": 1, "reaction_s": 0.25}}
    assert (times([air])["done_s"] == times([])["done_s"]).all()


def test_every_repetition_passes_the_relay_again():
    # So strong that the receiver refuses it, both times.
    relay = {"kind": "noise", "budget": {"norm": "psr_db", "epsilon": 40.0}}
    receivers = {
        "wary": {"codec": {"kind": "linear", "latent_size": 8}, "detector": {"kind": "norm"}}
    }
    link = {"latency_s": 0.5, "symbol_rate_hz": 4, "max_attempts": 2}
    rest = {"receivers": receivers, "link": link}
    slow = times([relay | {"access": {"place": "relay", "reaction_s": 0.3}}], **rest)
    quick = times([relay | {"access": {"place": "relay"}}], **rest)
    assert set(slow["attempts"]) == {2}
    assert slow["done_s"] - quick["done_s"] == pytest.approx(np.full(20, 0.6), abs=1e-9)


# --- a way of its own ---------------------------------------------------------------------------


def test_what_arrives_is_what_was_injected_times_its_own_gain():
    own = {"place": "over_the_air", "own_path": {"gain_db": -6.0}}
    path = [{"kind": "noise", "budget": {"norm": "psr_db", "epsilon": -3.0}, "access": own}]
    rows = attempts(path=path, control=True)
    assert rows["psr_db"].astype(float) == pytest.approx(-3.0, abs=1e-3)
    assert rows["psr_received_db"].astype(float) == pytest.approx(-9.0, abs=1e-3)
    # An isometric decoder: damage is the energy that arrives, of the control too.
    assert rows["control_mse_passive"] == pytest.approx(rows["mse_passive"], rel=1e-3)


def test_through_fading_of_its_own_power_arrives_as_its_law_says():
    # A block of fading per codeword: |h|² is exponential, and its mean is the mean gain.
    source = MANY | {"arrivals": {"kind": "periodic", "rate_hz": 0.01}}
    own = {"own_path": {"gain_db": 3.0, "k_factor": 0, "coherence_s": 100.0}}
    noise = {"kind": "noise", "budget": {"norm": "psr_db", "epsilon": -3.0}, "access": own}
    rows = attempts(path=[noise], source=source)
    share = 10 ** (rows["psr_received_db"].astype(float) / 10)
    assert share.mean() == pytest.approx(1.0, rel=0.06)  # three standard deviations of 2,000
    for level in (0.1, 0.5, 2.0):
        assert np.mean(share < level) == pytest.approx(1 - np.exp(-level), abs=0.03)
    assert rows["psr_db"].astype(float) == pytest.approx(-3.0, abs=1e-3)


def left_of_target(decode, signals: dict[str, Tensor]) -> float:
    return float(decode(signals["attacked"]).square().mean())


def test_to_know_ones_own_fading_helps_and_old_knowledge_helps_while_it_is_fresh():
    decode, signal = LinearDecoder((1.0,) * 8), latents(200, 8)
    fading = OwnPath(k_factor=0, coherence_s=1.0)

    def left(**access: Any) -> float:
        attack = pgd(epsilon=1.0, own_path=fading, **access)
        began = 0.1 + np.arange(200.0)  # a tenth of a second into a block each; 4 symbols of 0.2 s
        setting = dataclasses.replace(on_a_wire([attack], 8), symbol_s=np.array([0.2]))
        wires = dict.fromkeys(("passive", "attacked", "control"), signal)
        return left_of_target(
            decode, cross(setting, wires, batch(200, began), knowing(decode, signal))[0]
        )

    untouched = float(decode(signal).square().mean())
    exact, none = left(), left(channel="none")
    assert exact < 0.9 * untouched
    assert none > 0.99 * untouched  # the phase is unknown
    assert left(channel="stale", stale_s=0.05) == exact
    assert left(channel="stale", stale_s=5.0) > 0.95 * untouched


# --- foresight of the rest of the path ----------------------------------------------------------


@part
class Dice(Stage):
    """Adds standard normal noise, and remembers its draws."""

    kind = "dice"
    name: str = ""
    size: float = 1.0

    def cross(self, signal: Tensor, rows: Rows) -> Tensor:
        drawn = rows.normal(signal.shape[1])
        DRAWN.append((rows.name, drawn))
        return signal + self.size * drawn


@part
class Amplifier(Stage):
    """Multiplies by a gain that only some adversaries know."""

    kind = "amplifier"
    name: str = ""
    gain: float = 2.0

    def cross(self, signal: Tensor, rows: Rows) -> Tensor:
        return self._gain(rows) * signal

    def foresee(self, signal: Tensor, rows: Rows) -> Tensor:
        SEEN.append(rows.view)
        return self._gain(rows) * signal

    def _gain(self, rows: Rows) -> float:
        known = rows.view is None or rows.view.channel == "exact"
        return self.gain if known else 1.0


@part
class Eraser(Stage):
    """Erases the first symbol with probability ``share``."""

    kind = "eraser"
    name: str = ""
    share: float = 0.9

    def cross(self, signal: Tensor, rows: Rows) -> Tensor:
        kept = torch.ones_like(signal)
        kept[:, :2] = (rows.uniform(1) >= self.share).to(signal.dtype)
        return signal * kept


DRAWN: list[tuple[str, Tensor]] = []
SEEN: list[Any] = []


def test_imagined_draws_are_many_and_never_the_real_ones():
    DRAWN.clear()
    decode, signal = convolutional(8), latents(6, 8)
    crossed([pgd(expectation=3), Dice()], signal, decode)
    names = {name for name, _ in DRAWN}
    assert names == {"dice", *(f"pgd imagines dice/{k}" for k in range(3))}
    values = dict(DRAWN)
    for name, drawn in DRAWN:
        assert torch.equal(drawn, values[name])  # the same at every step: one objective
    kept = list(values.values())
    for place, one in enumerate(kept):
        for other in kept[place + 1 :]:
            assert (one != other).all()
    DRAWN.clear()
    crossed([pgd(), Dice()], signal, decode)
    assert {name for name, _ in DRAWN} == {"dice"}


def test_the_objective_is_the_mean_over_the_draws_that_it_imagines():
    DRAWN.clear()
    decode, signal, delta = convolutional(8), latents(6, 8), 0.1 * latents(6, 8, seed=2)
    attack = pgd(DAMAGE, expectation=4)
    setting = on_a_wire([attack, Dice(size=0.5)], 8)
    rows = setting.rows("pgd", batch(6))
    known = knowing(decode, signal)
    believed, _, rows.knowledge = Foresight(setting, 0, attack, batch(6)).aim(signal, rows, known)
    value = objective(attack.goal, believed, rows, rows.knowledge)(delta)
    drawn = dict(DRAWN)
    by_hand = [
        (decode(signal + delta + 0.5 * drawn[f"pgd imagines dice/{k}"]) - decode(signal))
        .square()
        .flatten(1)
        .mean(1)
        for k in range(4)
    ]
    assert torch.allclose(value, torch.stack(by_hand).mean(0), rtol=1e-5)
    assert not torch.allclose(value, by_hand[0], rtol=1e-2)


def test_who_expects_erasures_spends_nothing_on_what_is_mostly_lost():
    # The symbol that hurts most is the one that rarely arrives: E‖ADδ‖² has its largest eigenvalue
    # elsewhere.
    gains = torch.tensor([3.0, 3.0, 2.0, 2.0, 0.5, 0.5, 0.5, 0.5])

    def decode(latent: Tensor) -> Tensor:
        return (latent * gains).view(-1, 1, 2, 4)

    signal = latents(300, 8)

    def damage(**access: Any) -> float:
        attack = PGD(
            goal=DAMAGE, budget=Budget(norm="l2", epsilon=1.0), access=Access(**access), steps=40
        )
        signals, _ = crossed([attack, Eraser()], signal, decode)
        return float(
            (decode(signals["attacked"]) - decode(signals["passive"]))
            .square()
            .sum(dim=(1, 2, 3))
            .mean()
        )

    hopeful, wary = damage(), damage(expectation=16)
    assert hopeful == pytest.approx(0.1 * 9, rel=0.4)
    assert wary > 2.0 * hopeful
    assert wary < 4.0  # the best: all of it where nothing is lost


@pytest.mark.parametrize("channel", ["exact", "none"])
def test_it_plans_with_the_channel_that_it_knows_and_asks_nobody_else(channel):
    SEEN.clear()
    decode, signal = convolutional(8), latents(6, 8)
    attack = pgd(channel=channel, epsilon=0.4)
    delta = injected([attack, Amplifier(gain=2.0)], signal, decode)
    assert {(view.name, view.channel, view.draw) for view in SEEN} == {("pgd", channel, None)}
    factor = 2.0 if channel == "exact" else 1.0
    alone = delta_of(attack, signal, lambda latent: decode(factor * latent))
    assert torch.equal(delta, alone)


def test_what_lies_in_front_of_it_is_in_what_it_hears_and_expected_of_the_rest():
    decode, signal, mean = convolutional(8), latents(10, 8), torch.linspace(-1, 1, 8)
    attack = pgd(place="over_the_air", listen_symbols=1)
    delta = injected([Amplifier(gain=2.0), attack], signal, decode, mean=mean)
    believed = torch.cat([2 * signal[:, :2], 2 * mean[2:].expand(10, 6)], dim=1)
    assert torch.equal(delta, delta_of(attack, believed, decode, mean=2 * mean))


# --- together in a run --------------------------------------------------------------------------


def test_arms_that_differ_in_access_share_no_batch_and_those_that_differ_in_budget_do():
    attack = {"kind": "pgd", "goal": BLACK, "budget": {"norm": "l2", "epsilon": 0.5}}
    air = {"place": "over_the_air", "listen_symbols": 1}
    for key, values in {
        "listen_symbols": [1, 2],
        "reaction_s": [0.0, 0.25],
        "channel": ["exact", "none"],
        "expectation": [0, 2],
        "own_path": [None, {"gain_db": -3}],
    }.items():
        loaded = scenario(path=[attack | {"access": air}], sweep={f"pgd.access.{key}": values})
        assert calibrate(loaded).of_arm == (0, 1), key
    for key, values in {"pgd.budget.epsilon": [0.5, 1], "link.symbol_rate_hz": [4, 8]}.items():
        loaded = scenario(path=[attack | {"access": air}], sweep={key: values})
        assert calibrate(loaded).of_arm == (0, 0), key


def test_in_one_batch_every_row_has_the_reaction_time_of_its_own_link():
    access = {"place": "over_the_air", "listen_symbols": 1, "reaction_s": 0.25}
    corner = {"kind": "noise", "budget": {"norm": "linf", "epsilon": 1}, "law": "signs"}
    path = [corner | {"access": access}]
    rates = {"link.symbol_rate_hz": [1, 4, 8]}  # deaf for 1 + 1, 1 + 1 and 1 + 2 of 4 symbols
    few = {"kind": "dataset", "count": 10, "arrivals": {"kind": "once"}}
    receivers = {"plain": {"codec": {"kind": "linear", "latent_size": 8}}}
    rows = attempts(path=path, sweep=rates, receivers=receivers, source=few, link={})
    energy = rows["delta_l2"].astype(float).reshape(3, 10) ** 2
    assert energy == pytest.approx(np.repeat([[4.0], [4.0], [2.0]], 10, axis=1), rel=1e-5)


def test_stages_swept_for_one_another_go_by_their_names(tmp_path):
    budget = {"norm": "l2", "epsilon": 0.5}
    relay = {"kind": "pgd", "name": "relay", "goal": DAMAGE, "budget": budget}
    noise = {"kind": "noise", "budget": budget}
    run = channelsim.run(
        scenario(path=[relay], sweep={"path.0": [relay, noise]}, control=True), out=tmp_path / "run"
    )
    assert list(run.frame()["path.0"].unique()) == ["relay", "noise"]
    parts = scenario(path=[relay], sweep={"path.0": [pgd(), Noise(budget=Budget(epsilon=1.0))]})
    assert [arm.swept["path.0"]["name"] for arm in parts.arms] == ["pgd", "noise"]
    told = Console(file=io.StringIO(), width=100)
    print_summary(told, run.summary())
    said = told.file.getvalue()
    assert "path.0 = relay" in said
    assert "{" not in said
    curves(run.summary(), tmp_path / "curves.png")
    with run.ledger() as ledger:
        assert gallery(ledger, tmp_path / "gallery.png")


def test_an_editor_is_told_where_each_adversary_stands_by_default():
    def place(kind: str) -> str:
        schema = part_schema(ADVERSARIES[kind], kind)
        return str(schema["properties"]["access"]["properties"]["place"]["default"])

    assert [place(kind) for kind in ("pgd", "noise", "universal")] == [
        "relay",
        "over_the_air",
        "over_the_air",
    ]
    heard = scenario(
        path=[{"kind": "noise", "budget": {"epsilon": 1}, "access": {"expectation": 1}}]
    )
    assert heard.arms[0].path[0].access.place == "over_the_air"


def test_the_header_says_in_words_where_it_stands_what_it_knows_and_when():
    attack = {
        "kind": "pgd",
        "goal": BLACK,
        "budget": {"norm": "l2", "epsilon": 0.5},
        "access": {
            "place": "over_the_air",
            "listen_symbols": 1,
            "reaction_s": 0.25,
            "own_path": {"gain_db": -3, "k_factor": 0},
            "channel": "none",
            "expectation": 8,
        },
        "activity": {"duty_cycle": 0.2, "period_s": 5, "classes": [3]},
    }
    threat = fingerprint.header(scenario(path=[attack]), {}).values["threats"]["pgd"]
    assert threat == {
        "place": "on the wire, over the air",
        "own path": "-3 dB, Rayleigh fading, coherence 0.1 s",
        "knowledge": ["codeword", "receiver weights", "class"],
        "channel": "fading unknown, imagined in 8 draws",
        "causality": "over the air: hears 1 symbol, reacts 0.25 s later, adds to what is left",
        "activity": "for the first 20 % of every 5 s; classes 3",
        "effort": {"steps": 10, "restarts": 1, "gradients": 80, "imagined draws": 8},
    }
    plain = scenario(path=[{key: attack[key] for key in ("kind", "goal", "budget")}])
    threat = fingerprint.header(plain, {}).values["threats"]["pgd"]
    assert set(threat) == {"place", "knowledge", "channel", "causality", "effort"}
    assert threat["channel"] == "fading known exactly"
    noise = scenario(path=[{"kind": "noise", "budget": {"norm": "l2", "epsilon": 0.5}}])
    threat = fingerprint.header(noise, {}).values["threats"]["noise"]
    assert "channel" not in threat  # without planning no knowledge is needed
