"""Bit flips on a digital link: their number, their places, their cost."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.known_decoders import convolutional, image_damage, meet
from helpers.known_ledger import assert_waiting_changes_nothing
from helpers.small_runs import attempts, injected, scenario
from torch import Tensor

import channelsim
from channelsim.adversaries import ADVERSARIES
from channelsim.adversaries.bit_flips import BitFlips
from channelsim.analysis.findings import sentence
from channelsim.contracts import records
from channelsim.contracts.adversary import Budget, Perturbation
from channelsim.contracts.parts import part
from channelsim.contracts.rows import Channel, Knowledge, Rows
from channelsim.contracts.words import Words
from channelsim.ledger import Ledger
from channelsim.runs.budgets import assert_budgets
from channelsim.signal_path.calibration import calibrate
from channelsim.support.errors import InputError, MachineError

CODES = ["natural", "gray"]
DECODE = convolutional(6)


def link(rows: int, bits: int | Tensor = 4, limit: float = 3.0, code: Any = "natural") -> Words:
    """Words of ``bits`` per value on ± ``limit``."""
    b = torch.as_tensor(bits).expand(rows)[:, None]
    return Words(b, torch.full((rows, 1), limit, dtype=torch.float64), code)


def sent(words: Words, width: int, seed: int = 1) -> Tensor:
    """Levels of words drawn at random, uniform over all of them: [N, width]."""
    generator = torch.Generator().manual_seed(seed)
    share = torch.rand(len(words.bits), width, generator=generator, dtype=torch.float64)
    return words.level((share * 2**words.bits).long()).float()


def mallory(search: str, epsilon: float, **fields: Any) -> BitFlips:
    return BitFlips(search=search, budget=Budget(norm="bits", epsilon=epsilon), **fields)


def attack(
    adversary: BitFlips,
    signal: Tensor,
    words: Words,
    decode: Callable[[Tensor], Tensor] = DECODE,
    **context: Any,
) -> tuple[Perturbation, Rows]:
    rows = meet(adversary, signal, decode, **context)
    rows.channel = Channel(words=words)
    with torch.no_grad():
        return adversary.attack(signal, rows), rows


def bits_of(words: Words, signal: Tensor) -> np.ndarray:
    """The bits on the link, most significant first, [N, K, b], by a table of code words."""
    (width,) = {int(b) for b in words.bits[:, 0]}
    step = 2 * float(words.limit[0, 0]) / 2**width
    number = np.rint((signal.double().numpy() + float(words.limit[0, 0])) / step - 0.5).astype(int)
    assert ((number >= 0) & (number < 2**width)).all()
    table = [k if words.code == "natural" else k ^ (k >> 1) for k in range(2**width)]
    word = np.array(table)[number]
    return np.stack([word >> place & 1 for place in reversed(range(width))], axis=-1)


def flips_of(words: Words, signal: Tensor, delta: Tensor) -> np.ndarray:
    return bits_of(words, signal) != bits_of(words, signal + delta)


# --- how many -----------------------------------------------------------------------------------


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("search", ["greedy", "msb", "random"])
def test_no_more_bits_are_flipped_than_allowed_and_the_count_is_the_truth(search: str, code: str):
    words = link(24, bits=4, code=code)
    signal, allowed = sent(words, 6), torch.arange(24) % 6
    found, _ = attack(mallory(search, 5), signal, words, epsilon=allowed.float())
    flipped = flips_of(words, signal, found.delta).sum(axis=(1, 2))
    assert (flipped == found.flipped_bits).all()
    assert (flipped <= allowed.numpy()).all()
    assert (flipped > 0).sum() == 20
    if search != "greedy":  # which stops where nothing gains
        assert (flipped == allowed.numpy()).all()
    words_off = np.array(found.verdict) == records.OFF
    assert (words_off == (allowed == 0).numpy()).all()
    assert (found.delta[allowed == 0] == 0).all()


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("search", ["msb", "random"])
@pytest.mark.parametrize("epsilon", [18, 1000])
def test_as_many_flips_as_bits_flip_every_bit(search: str, code: str, epsilon: int):
    words = link(10, bits=3, code=code)
    signal = sent(words, 6)
    found, rows = attack(mallory(search, epsilon), signal, words)
    assert flips_of(words, signal, found.delta).all()
    assert (found.flipped_bits == 18).all()
    shadow = mallory(search, epsilon).control(signal, found, rows)
    assert torch.equal(shadow, found.delta)  # all bits are all bits, however they were chosen


def test_words_of_one_bit_and_of_sixteen_share_a_batch():
    bits = torch.tensor([1, 2, 9, 16] * 3)
    words = link(12, bits=bits)
    signal = sent(words, 5)
    for search in ("greedy", "msb", "random"):
        found, _ = attack(mallory(search, 3), signal, words, convolutional(5))
        assert (found.flipped_bits <= 3).all()
        for width in (1, 2, 9, 16):
            chosen = bits == width
            alone = link(3, bits=width)
            some = flips_of(alone, signal[chosen], found.delta[chosen])
            assert (some.sum(axis=(1, 2)) == found.flipped_bits[chosen.numpy()]).all()
        # The same rows alone, among words of their own width only.
        message = np.flatnonzero(bits == 9)
        again, _ = attack(
            mallory(search, 3), signal[message], link(3, bits=9), convolutional(5), message=message
        )
        assert torch.equal(again.delta, found.delta[message])


@part
class Cheat(BitFlips):
    """Ignores its budget."""

    loot: float = 0.0

    def perturb(
        self, signal: Tensor, radius: Tensor, rows: Rows, knowledge: Knowledge
    ) -> tuple[Tensor, np.ndarray]:
        generator = torch.Generator().manual_seed(2)
        delta = self.loot * torch.randn(signal.shape, generator=generator)
        return delta, np.full(len(signal), records.OK, dtype=object)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("loot", [1e-3, 0.4, 5.0, 1e9])
@pytest.mark.parametrize("epsilon", [1, 7, 24])
def test_who_ignores_the_budget_flips_no_bit_more_and_sends_only_words(code, loot, epsilon):
    words = link(40, bits=4, code=code)
    signal = sent(words, 6)
    cheat = Cheat(budget=Budget(norm="bits", epsilon=epsilon), loot=loot)
    found, _ = attack(cheat, signal, words)
    received = signal + found.delta
    assert torch.allclose(words.level(words.read(received)).float(), received, atol=1e-5)
    flipped = flips_of(words, signal, found.delta).sum(axis=(1, 2))
    assert (flipped == found.flipped_bits).all()
    assert flipped.max() <= epsilon
    if loot > 1:
        assert flipped.max() == epsilon or flipped.max() > 12  # without a limit it flips more
    if loot < 0.01:  # less than half a step away, every word is read as it was
        assert flipped.max() == 0
        assert set(found.verdict) == {records.NOT_MOVED}


def test_a_flip_that_is_not_a_number_is_dropped():
    words = link(4)
    found, _ = attack(
        Cheat(budget=Budget(norm="bits", epsilon=3), loot=float("nan")), sent(words, 6), words
    )
    assert set(found.verdict) == {records.NONFINITE}
    assert not found.flipped_bits.any()


# --- which --------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [1, 3, 8, 16])
def test_a_leading_bit_of_natural_code_moves_its_value_by_half_the_range(bits: int):
    words = link(200, bits=bits, limit=3.0)
    signal = sent(words, 6)
    found, _ = attack(mallory("msb", 2), signal, words)
    moved = found.delta != 0
    assert (moved.sum(dim=1) == 2).all()
    step = 2 * 3.0 / 2**bits
    assert found.delta[moved].abs().numpy() == pytest.approx(step * 2 ** (bits - 1), rel=1e-6)
    # It cannot leave the range: values above 0 go below, and the other way round.
    assert (found.delta[moved].sign() == -signal[moved].sign()).all()


def test_a_leading_bit_of_gray_code_mirrors_its_value():
    words = link(200, bits=5, code="gray")
    signal = sent(words, 6)
    found, _ = attack(mallory("msb", 6), signal, words)
    assert torch.allclose(signal + found.delta, -signal, atol=1e-5)


def test_leading_bits_are_flipped_before_lower_ones_and_values_at_random():
    words = link(4000, bits=3)
    signal = sent(words, 6)
    found, _ = attack(mallory("msb", 8), signal, words)
    flips = flips_of(words, signal, found.delta)
    assert flips[:, :, 0].all()
    assert (flips[:, :, 1].sum(axis=1) == 2).all()
    assert not flips[:, :, 2].any()
    # Each of six values has the same chance: 1/3, within four standard errors.
    assert flips[:, :, 1].mean(axis=0) == pytest.approx(1 / 3, abs=4 * (2 / 9 / 4000) ** 0.5)


@pytest.mark.parametrize(("bits", "flipped"), [(4, 1), (4, 12), (8, 3)])
def test_random_flips_of_a_uniform_signal_cost_what_a_binary_symmetric_channel_costs(bits, flipped):
    rows, width = 20_000, 20
    words = link(rows, bits=bits, limit=1.0)
    signal = sent(words, width)
    found, _ = attack(mallory("random", flipped), signal, words, lambda z: z[:, None, None])
    p, step = flipped / (width * bits), 2 / 2**bits
    assert found.delta.double().square().mean().item() == pytest.approx(
        p * step**2 * (4**bits - 1) / 3, rel=0.05
    )
    flips = flips_of(words, signal, found.delta)
    assert (flips.sum(axis=(1, 2)) == flipped).all()
    per_bit = flips.mean(axis=(0, 1))  # uniform over the places of a word
    assert per_bit == pytest.approx(p, abs=4 * (p / (rows * width)) ** 0.5)


@pytest.mark.parametrize("search", ["msb", "random"])
def test_a_larger_budget_flips_the_same_bits_and_more(search: str):
    words = link(50, bits=4)
    signal = sent(words, 6)
    few, many = (
        flips_of(words, signal, attack(mallory(search, n), signal, words)[0].delta) for n in (3, 9)
    )
    assert not (few & ~many).any()


def objective(signal: Tensor, delta: Tensor) -> np.ndarray:
    """Damage, in the precision and order of the attack's own."""
    with torch.no_grad():
        clean, image = DECODE(signal), DECODE(signal + delta)
    return (image - clean).double().square().flatten(1).mean(1).numpy()


def every_flip(words: Words, signal: Tensor, chosen: tuple[tuple[int, int], ...]) -> Tensor:
    """δ of flipping these (value, place of the bit) of every row, by the table."""
    width = int(words.bits[0, 0])
    limit = float(words.limit[0, 0])
    step = 2 * limit / 2**width
    table = [k if words.code == "natural" else k ^ (k >> 1) for k in range(2**width)]
    place_of = {word: k for k, word in enumerate(table)}
    number = np.rint((signal.double().numpy() + limit) / step - 0.5).astype(int)
    new = number.copy()
    word = np.array(table)[number]
    for value, place in chosen:
        word[:, value] ^= 1 << (width - 1 - place)
    new = np.vectorize(place_of.__getitem__)(word)
    return torch.from_numpy((new - number) * step).float()


@pytest.mark.parametrize("code", CODES)
def test_one_greedy_flip_is_the_best_of_all_single_flips(code: str):
    words = link(30, bits=4, code=code)
    signal = sent(words, 6)
    found, _ = attack(mallory("greedy", 1), signal, words)
    singles = [(value, place) for value in range(6) for place in range(4)]
    damage = np.stack([objective(signal, every_flip(words, signal, (one,))) for one in singles])
    assert objective(signal, found.delta) == pytest.approx(damage.max(axis=0), rel=1e-6)
    assert (found.flipped_bits == 1).all()


@pytest.mark.parametrize("code", CODES)
def test_of_small_values_greedy_takes_the_leading_bit_or_in_gray_code_the_second(code: str):
    # Levels 6 to 9 of 16. A mirror at 0 moves them by 1 or 3 steps, one at ±A/2 by 5 or 7.
    words = link(50, bits=4, code=code)
    generator = torch.Generator().manual_seed(3)
    signal = words.level(torch.randint(6, 10, (50, 6), generator=generator)).float()
    found, _ = attack(mallory("greedy", 1), signal, words)
    share = flips_of(words, signal, found.delta).mean(axis=(0, 1))
    assert share[0 if code == "natural" else 1] == share.sum() > 0


@pytest.mark.parametrize("code", CODES)
def test_a_second_greedy_flip_is_the_best_beside_the_first_and_no_better_than_all_pairs(code: str):
    words = link(20, bits=3, code=code)
    signal = sent(words, 6)
    one, two = (attack(mallory("greedy", n), signal, words)[0] for n in (1, 2))
    singles = [(value, place) for value in range(6) for place in range(3)]
    pairs = list(itertools.combinations(singles, 2))
    damage = np.stack([objective(signal, every_flip(words, signal, pair)) for pair in pairs])
    first = flips_of(words, signal, one.delta)
    beside = np.array([[first[:, v, p] for v, p in pair] for pair in pairs]).any(axis=1)
    reached = objective(signal, two.delta)
    best_beside = np.where(beside, damage, -1.0).max(axis=0)
    stopped = two.flipped_bits == 1
    assert reached[~stopped] == pytest.approx(best_beside[~stopped], rel=1e-6)
    assert (best_beside[stopped] <= reached[stopped] * (1 + 1e-6)).all()
    assert (reached <= damage.max(axis=0) * (1 + 1e-6)).all()
    assert not (first & ~flips_of(words, signal, two.delta)).any()


@pytest.mark.parametrize("code", CODES)
def test_knowing_the_receiver_beats_knowing_the_code_and_that_beats_luck(code: str):
    words = link(200, bits=5, code=code)
    signal = sent(words, 6)
    damage = {}
    for search in ("greedy", "msb", "random"):
        found, _ = attack(mallory(search, 3), signal, words)
        damage[search] = image_damage(DECODE, signal, found.delta).mean().item()
    assert damage["greedy"] > 1.2 * damage["msb"]
    assert damage["msb"] > 1.2 * damage["random"]


def test_each_greedy_flip_brings_the_receiver_nearer_to_what_is_wanted():
    words = link(40, bits=4)
    signal = sent(words, 6)
    goal = {"kind": "image", "target": "black"}
    mean = []
    for epsilon in range(7):
        found, _ = attack(mallory("greedy", epsilon, goal=goal), signal, words)
        with torch.no_grad():
            mean.append(DECODE(signal + found.delta).square().mean().item())
    assert (np.diff(mean) < 0).all()


def test_greedy_stops_where_nothing_gains_and_a_receiver_that_shows_nothing_is_not_moved():
    words = link(12, bits=2)
    signal = sent(words, 6)
    goal = {"kind": "image", "target": "black"}
    found, _ = attack(mallory("greedy", 12, goal=goal), signal, words)
    assert found.flipped_bits.max() < 12
    with torch.no_grad():
        reached = DECODE(signal + found.delta).square().flatten(1).mean(1).numpy()
        for one in itertools.product(range(6), range(2)):
            if_also = signal + found.delta
            again = DECODE(if_also + every_flip(words, if_also, (one,)))
            fresh = ~flips_of(words, signal, found.delta)[:, one[0], one[1]]
            worse = again.square().flatten(1).mean(1).numpy() >= reached * (1 - 1e-6)
            assert worse[fresh].all()
    blind, _ = attack(mallory("greedy", 4), signal, words, lambda z: torch.zeros(len(z), 1, 4, 4))
    assert set(blind.verdict) == {records.NOT_MOVED}
    assert not blind.flipped_bits.any()


def test_greedy_looks_only_where_it_reaches_and_averages_over_what_it_imagines():
    words = link(8, bits=3)
    signal = sent(words, 6)
    adversary = mallory("greedy", 1)
    rows = meet(adversary, signal, DECODE)
    rows.channel = Channel(words=words)
    known = rows.knowledge
    turned = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(4)))[0]
    views = [
        Knowledge(**(vars(known) | {"decode": lambda z, turn=turn: DECODE(z @ turn)}))
        for turn in (torch.eye(6), turned)
    ]
    rows.knowledge = Knowledge(**(vars(known) | {"draws": 2, "imagine": views.__getitem__}))
    with torch.no_grad():
        found = adversary.attack(signal, rows)
        mean = lambda delta: sum(  # noqa: E731
            (view.decode(signal + delta) - known.clean).square().flatten(1).mean(1)
            for view in views
        )
        best = torch.stack(
            [mean(every_flip(words, signal, ((v, p),))) for v in range(6) for p in range(3)]
        ).amax(0)
        assert torch.allclose(mean(found.delta), best, rtol=1e-5)


def test_draws_belong_to_the_message_and_not_to_its_place():
    words = link(16, bits=4)
    signal = sent(words, 6)
    order = np.random.default_rng(1).permutation(16)
    for search in ("greedy", "msb", "random"):
        home, rows = attack(mallory(search, 3), signal, words)
        moved, rows_moved = attack(mallory(search, 3), signal[order], words, message=order)
        assert torch.equal(moved.delta, home.delta[order])
        shadow = mallory(search, 3).control(signal, home, rows)
        again = mallory(search, 3).control(signal[order], moved, rows_moved)
        assert torch.equal(again, shadow[order])


# --- the control --------------------------------------------------------------------------------


@pytest.mark.parametrize("code", CODES)
def test_the_control_flips_as_many_bits_at_random(code: str):
    words = link(3000, bits=4, code=code)
    signal = sent(words, 6)
    found, rows = attack(mallory("msb", 3), signal, words)
    shadow = mallory("msb", 3).control(signal, found, rows)
    flips = flips_of(words, signal, shadow)
    assert (flips.sum(axis=(1, 2)) == 3).all()
    share = flips.mean(axis=(0, 1))
    assert share == pytest.approx(3 / 24, abs=4 * (3 / 24 / 18_000) ** 0.5)
    # Its bits are not the attack's: of three leading ones, by chance it has 3·3/24.
    both = (flips & flips_of(words, signal, found.delta)).sum(axis=(1, 2)).mean()
    assert both == pytest.approx(9 / 24, abs=0.05)


def test_behind_another_adversary_the_control_flips_the_words_that_it_meets_itself():
    # In front of the link, the attack and its control are different noise: so are their words.
    front = {"kind": "noise", "budget": {"norm": "psr_db", "epsilon": 0}, "law": "signs"}
    coarse = {"kind": "quantiser", "bits": 2, "range": 1.5}
    loaded = scenario(
        path=[front, coarse, FLIPS | {"search": "msb"}],
        receivers={"plain": {"codec": {"kind": "linear", "latent_size": 16}}},
        control=True,
    )
    attack, control, wire = (signal.double() for signal in injected(loaded))
    limit = 1.5 * calibrate(loaded).paths[0].setting.power ** 0.5
    for received in (attack + wire, control + wire):
        place = (received + limit) / (2 * limit / 4) - 0.5  # on the grid of four levels
        assert place.numpy() == pytest.approx(place.round().numpy(), abs=1e-4)
        assert place.min() > -0.1
        assert place.max() < 3.1
    assert not torch.allclose(attack, control)


# --- on the link --------------------------------------------------------------------------------

QUANTISER = {"kind": "quantiser", "name": "digital", "bits": 4}
FLIPS = {"kind": "bit_flips", "name": "mallory", "budget": {"norm": "bits", "epsilon": 2}}


def test_one_flip_on_a_link_is_seen_in_the_ledger_for_what_it_is():
    msb = FLIPS | {"search": "msb"}
    rows = attempts(path=[QUANTISER | {"range": 2.0}, msb], control=True)
    assert (rows["flipped_bits"].astype(float) == 2).all()
    # Two values of 64 moved by A = 2√P: an energy of 2·4·P where the codeword has 64·P.
    assert rows["psr_db"].astype(float) == pytest.approx(10 * np.log10(8 / 64), abs=1e-3)
    assert rows["psr_received_db"].astype(float) == pytest.approx(10 * np.log10(8 / 64), abs=1e-3)
    assert set(rows["verdict"]) == {"ok"}
    # The control flips two bits of 256: each is as likely to be a leading one as a last one.
    ratio = rows["control_mse_passive"].mean() / rows["mse_passive"].mean()
    assert ratio == pytest.approx((4**4 - 1) / 3 / 4 / 64, rel=0.1)


def test_the_words_that_the_link_flipped_itself_are_the_ones_that_are_changed():
    noisy = QUANTISER | {"bit_error": 0.1}
    calm, attacked = (attempts(path=[noisy, *more]) for more in ([], [FLIPS | {"search": "msb"}]))
    assert (calm["snr_measured_db"] == attacked["snr_measured_db"]).all()
    assert (attacked["flipped_bits"].astype(float) == 2).all()
    assert np.isnan(calm["flipped_bits"].astype(float)).all()
    assert attacked["mse_source"].mean() > calm["mse_source"].mean()


def test_an_attack_in_front_of_the_quantiser_does_not_feel_the_flips_behind_it():
    pgd = {
        "kind": "pgd",
        "goal": {"kind": "damage"},
        "budget": {"norm": "psr_db", "epsilon": -10},
        "steps": 2,
    }
    alone = attempts(path=[pgd, QUANTISER], control=True)
    both = attempts(path=[pgd, QUANTISER, FLIPS | {"search": "random"}], control=True)
    assert (both["flipped_bits"].astype(float) == 2).all()
    assert (alone["snr_measured_db"] == both["snr_measured_db"]).all()
    # Random flips are independent of the other's δ: the energies add.
    before, after = (10 ** (rows["psr_db"].astype(float) / 10) for rows in (alone, both))
    flips = 10 ** (
        attempts(path=[QUANTISER, FLIPS | {"search": "random"}])["psr_db"].astype(float) / 10
    )
    assert after.mean() == pytest.approx(before.mean() + flips.mean(), rel=0.1)


def test_two_that_flip_bits_of_one_link_flip_what_both_may():
    other = FLIPS | {"name": "eve", "search": "random", "budget": {"norm": "bits", "epsilon": 3}}
    rows = attempts(path=[QUANTISER, FLIPS | {"search": "msb"}, other | {"of": "digital"}])
    assert (rows["flipped_bits"].astype(float) == 5).all()


def test_where_it_lets_a_codeword_pass_no_bit_is_counted():
    rows = attempts(path=[QUANTISER, FLIPS | {"search": "msb", "activity": {"every": 4}}])
    taken = rows["attempt"] % 4 == 0
    assert (rows["flipped_bits"][taken].astype(float) == 2).all()
    assert (rows["flipped_bits"][~taken].astype(float) == 0).all()
    assert set(rows["verdict"][~taken]) == {"idle"}
    assert (rows["delta_l2"][~taken] == 0).all()


def test_without_a_bit_to_flip_it_is_off_and_the_link_as_if_it_were_not_there():
    off = FLIPS | {"budget": {"norm": "bits", "epsilon": 0}}
    alone, beside = attempts(path=[QUANTISER]), attempts(path=[QUANTISER, off])
    assert set(beside["verdict"]) == {"off"}
    for column in ("mse_source", "mse_clean", "snr_measured_db"):
        assert (alone[column] == beside[column]).all()


def test_flipped_bits_over_the_budget_are_found_in_the_ledger(tmp_path: Path):
    loaded = scenario(path=[QUANTISER, FLIPS])
    run = channelsim.run(loaded, out=tmp_path / "run")  # asserts the budgets when it ends
    with Ledger.open(run.folder / "ledger.sqlite", write=True) as ledger:
        calibration = ledger.header().calibration
        assert_budgets(ledger, loaded.arms, calibration)
        ledger.connection.execute("UPDATE attempt SET flipped_bits = flipped_bits + 1")
        with pytest.raises(MachineError, match=r"flipped bits 3, over its budget of 2: a bug"):
            assert_budgets(ledger, loaded.arms, calibration)


def test_the_summary_speaks_of_flips_and_not_of_noise_of_equal_power(tmp_path: Path):
    study = {"path": [QUANTISER, FLIPS | {"search": "msb"}], "control": True}
    summary = channelsim.run(scenario(**study), out=tmp_path / "run").summary()
    said = sentence(summary, "plain")
    assert said is not None
    assert "with as many random bit flips." in said
    assert "more mean MSE damage than those random flips" in said
    assert "matched noise" not in said


def test_rows_of_all_budgets_codes_and_widths_give_the_same_bits_beside_any_neighbours(
    tmp_path: Path,
):
    study = {
        "seed": 5,
        "source": {"kind": "dataset", "count": 8},
        "path": [QUANTISER, FLIPS],
        "receivers": {"plain": {"codec": {"kind": "linear", "latent_size": 9}}},
        "sweep": {
            "digital.bits": [1, 5],
            "digital.code": ["natural", "gray"],
            "mallory.search": ["greedy", "msb"],
            "mallory.budget.epsilon": [0, 1, 4],
        },
        "block_rows": 16,
    }
    assert_waiting_changes_nothing(study, tmp_path)


# --- mistakes -----------------------------------------------------------------------------------

OTHER = {"kind": "quantiser", "name": "other", "bits": 4}
AWGN = {"kind": "awgn", "snr_db": 30}
PGD = {"kind": "pgd", "goal": {"kind": "damage"}, "budget": {"norm": "bits", "epsilon": 2}}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ([FLIPS], "mallory flips bits, but no quantiser stands in front of it"),
        ([FLIPS, QUANTISER], "mallory flips bits, but no quantiser stands in front of it"),
        ([QUANTISER, AWGN, FLIPS], "awgn stands between digital and mallory"),
        ([QUANTISER, OTHER, FLIPS | {"of": "digital"}], "other stands between digital and mallory"),
        ([QUANTISER, FLIPS | {"of": "digtal"}], "of: digtal names no quantiser in front of it"),
        ([QUANTISER, FLIPS | {"budget": {"epsilon": 2}}], "budget.norm must be bits, which it"),
        ([QUANTISER, PGD], "pgd: budget.norm bits is for adversaries on a digital link"),
        (
            [QUANTISER, FLIPS | {"budget": {"norm": "bits", "epsilon": 1.5}}],
            "epsilon must be a whole number for norm bits, not 1.5",
        ),
        (
            [QUANTISER, FLIPS | {"budget": {"norm": "bits", "epsilon": -1}}],
            "epsilon must not be negative for norm bits, not -1",
        ),
        (
            [QUANTISER, FLIPS | {"access": {"place": "over_the_air"}}],
            "who flips bits holds the words and sends them on; remove access.place: over_the_air",
        ),
        (
            [QUANTISER, FLIPS | {"access": {"own_path": {"gain_db": -3}}}],
            "who flips bits holds the words and sends them on; remove access.own_path",
        ),
        ([QUANTISER, FLIPS | {"activity": {"energy": 3}}], "an account of energy is not for flip"),
        ([QUANTISER, FLIPS | {"search": "gready"}], "Did you mean greedy?"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(path: list[dict[str, Any]], said: str):
    with pytest.raises(InputError) as error:
        scenario(path=path)
    assert said in error.value.message


def test_what_it_knows_and_what_it_costs_is_declared():
    assert ADVERSARIES["bit_flips"] is BitFlips
    assert mallory("msb", 3).threat["knowledge"] == []
    assert mallory("greedy", 3).threat["knowledge"] == ["codeword", "receiver weights"]
    assert mallory("greedy", 3).threat["effort"] == {"gradients": 0, "forward passes": "K·b"}
