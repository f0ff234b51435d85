"""Several blocks cross a path at once, and every row has the bits that it has in its own block."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.small_runs import scenario

from channelsim.contracts.own_code import RowsError
from channelsim.contracts.records import Batch
from channelsim.contracts.rows import Channel
from channelsim.signal_path import SignalPath
from channelsim.signal_path.blocks import block_by_block
from channelsim.signal_path.calibration import calibrate
from channelsim.support.block_shape import BlockShape
from channelsim.support.errors import InputError

NOISE = {"kind": "awgn", "snr_db": 15.0}
FADING = {"kind": "fading", "coherence_s": 0.01}
EQUALISER = {"kind": "equaliser"}
BUDGET = {"norm": "linf", "epsilon": 0.6}
TRAINED = {"plain": {"codec": "kld-vae"}}


def climbing(**changes: Any) -> dict[str, Any]:
    goal = {"kind": "image", "target": "black"}
    return {"kind": "pgd", "goal": goal, "budget": BUDGET, "steps": 5, "step_size": 1.0} | changes


PATHS: dict[str, dict[str, Any]] = {
    "relay": {"path": [climbing(), NOISE]},
    "damage, from two starts": {
        "path": [climbing(goal={"kind": "damage"}, restarts=2, step_size=0.1), NOISE]
    },
    "another message": {"path": [climbing(goal={"kind": "image", "target": "message"}), NOISE]},
    "features": {"path": [climbing(goal={"kind": "damage", "loss": "dfd"}), NOISE]},
    "behind fading": {"path": [FADING, climbing(), EQUALISER, NOISE]},
    "imagined draws": {"path": [climbing(access={"expectation": 3}), NOISE]},
    "its own fading": {"path": [climbing(access={"own_path": {"gain_db": -3.0}}), NOISE]},
    "over the air": {
        "path": [climbing(access={"place": "over_the_air", "listen_symbols": 2}), NOISE]
    },
    "over the air, imagining draws, with scaled codewords": {
        "path": [
            climbing(access={"place": "over_the_air", "listen_symbols": 2, "expectation": 5}),
            NOISE,
        ],
        "power": {"mode": "codeword"},
    },
    "in L2, by a damage loss": {
        "path": [climbing(goal={"kind": "damage"}, budget={"norm": "l2", "epsilon": 0.7}), NOISE]
    },
    "every second codeword": {"path": [climbing(activity={"every": 2}), NOISE]},
    "before the encoder": {
        "path": [
            climbing(access={"place": "before_encoder"}, budget=BUDGET | {"epsilon": 0.2}),
            NOISE,
        ]
    },
    "two, one of them a jammer": {
        "path": [climbing(), FADING, {"kind": "noise", "budget": BUDGET}, EQUALISER, NOISE]
    },
    "bits": {
        "path": [
            {"kind": "quantiser", "bits": 4, "range": 3.0},
            {
                "kind": "bit_flips",
                "budget": {"norm": "bits", "epsilon": 3.0},
                "goal": {"kind": "damage"},
            },
            NOISE,
        ]
    },
    "a detector": {
        "path": [climbing(), NOISE],
        "receivers": {
            "wary": {"codec": "kld-vae", "detector": {"kind": "norm", "false_alarm": 0.3}}
        },
    },
    "scaled codewords": {"path": [climbing(), NOISE], "power": {"mode": "codeword"}},
    "sampled codewords": {"path": [climbing(), NOISE], "transmit": "sample"},
    "a prior": {"path": [climbing(), NOISE], "source": {"kind": "prior", "count": 20}},
}


def path_of(changes: dict[str, Any]) -> SignalPath:
    source = {"kind": "dataset", "name": "mnist5k", "count": 20}
    given = {"receivers": TRAINED, "source": source, "metrics": ["mse", "ssim"]} | changes
    return calibrate(scenario(**given, block_rows=64, control=True)).paths[0]


def rows(count: int) -> Batch:
    """Attempts of few messages, each several times, as arms of one path send them."""
    message = np.arange(count) // 5 % 20
    found = Batch.planned(message, np.arange(count) * 0.004)
    return replace(found, attempt=np.arange(count) % 5 // 2)


def everything(path: SignalPath, batch: Batch) -> dict[str, np.ndarray]:
    outcome, images, latents = path.transmit(batch)
    pictures = {f"image {role}": image.numpy() for role, image in images.items()}
    codewords = {f"latent {role}": latent.numpy() for role, latent in latents.items()}
    return {"accepted": outcome.accepted, **outcome.columns, **pictures, **codewords}


@pytest.mark.parametrize("changes", PATHS.values(), ids=PATHS)
def test_rows_of_several_blocks_have_the_bits_of_their_own_block(changes: dict[str, Any]) -> None:
    path, batch = path_of(changes), rows(150)
    together = everything(path, batch)
    begins = range(0, len(batch), 64)
    apart = [everything(path, batch[begin : begin + 64]) for begin in begins]
    for name, values in together.items():
        expected = np.concatenate([one[name] for one in apart])
        if values.dtype == object:
            assert values.tolist() == expected.tolist(), name
        else:
            np.testing.assert_array_equal(values, expected, err_msg=name)


def test_an_error_names_the_message_in_whichever_block_it_is(monkeypatch: Any) -> None:
    path = path_of({"path": [NOISE]})
    bad = path.images.clone().float() / 255
    bad[path.index[17]] = float("nan")
    path = replace(path, images=bad, shape=BlockShape(32))
    with pytest.raises(Exception, match=r"message 17 \(image"):
        path.transmit(rows(150))


def test_an_error_inside_an_attack_names_the_messages_of_its_block(monkeypatch: Any) -> None:
    path = replace(path_of({"path": [climbing(), NOISE]}), shape=BlockShape(32))
    codec, calls = type(path.transmitter.codec), 0
    decoded = codec.decoded

    def failing(self: Any, latent: Any) -> Any:
        nonlocal calls
        calls += latent.requires_grad
        if calls == 2:  # the second block's first gradient
            raise RowsError.about("the decoder failed", [3], len(latent))
        return decoded(self, latent)

    monkeypatch.setattr(codec, "decoded", failing)
    with pytest.raises(InputError, match=r"the decoder failed: receiver plain, message 7 \("):
        path.transmit(rows(150))  # row 35, of message 7


def test_an_error_about_other_rows_than_a_blocks_stays_as_it_is() -> None:
    alone = RowsError.about("one image of its own", [0], 1)
    with pytest.raises(RowsError) as raised:
        block_by_block(lambda *_: (_ for _ in ()).throw(alone), [slice(0, 8), slice(8, 16)], 16)
    assert (raised.value.rows, raised.value.of) == ((0,), 1)


def test_what_a_stage_leaves_of_some_blocks_and_not_of_others_is_refused() -> None:
    with_noise, none = Channel(noise=torch.ones(4)), Channel()
    assert Channel.joined([none, none]) == none
    joined = Channel.joined([with_noise, with_noise]).noise
    assert joined is not None
    assert joined.tolist() == [1.0] * 8
    for parts in ([with_noise, none], [none, with_noise], [Channel(noise=torch.tensor(1.0))] * 2):
        with pytest.raises(InputError, match="noise"):
            Channel.joined(parts)
