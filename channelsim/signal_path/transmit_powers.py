"""The arms' transmitters: the power of each codec from its card, or measured."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from channelsim.channels.power import Power
from channelsim.contracts.parts import Codec
from channelsim.scenario import Arm
from channelsim.signal_path import Latents, Transmitter
from channelsim.signal_path.training_split import TrainingSplit
from channelsim.support.errors import InputError


def prior(arm: Arm, device: torch.device) -> Latents:
    """The distribution from which an arm's codewords are drawn."""
    codec = arm.codec
    try:
        return Latents.of_card(codec.card, codec.latent_size, device)
    except ValueError as reason:
        raise InputError(
            f"receiver {arm.receiver_name}: its codec's card says prior: fitted, but {reason};"
            " train the codec again, or use another source"
        ) from None


class Transmitters:
    """The arms' transmitters, the power of each codec from its card or measured."""

    def __init__(self, train: TrainingSplit) -> None:
        self._train = train
        self._known: dict[Any, Transmitter] = {}
        self._powers: dict[Any, tuple[float, Tensor]] = {}

    def of(self, arm: Arm) -> Transmitter:
        """One arm's; the same for arms that encode and scale alike.

        A codec whose encoder is told the SNR has a power at each: one pass over the training split,
        or its ``calibration_images``, for every SNR told.
        """
        codec = arm.codec
        key = (id(codec), arm.transmit, arm.power)
        if key not in self._known:
            codec.network.to(self._train.device)
            encoder = codec if "encode" in codec.takes_side else arm.receiver.codec
            alike = (id(encoder), arm.transmit, arm.power)
            if alike not in self._powers:
                self._powers[alike] = self._codec_power(codec, arm.transmit, arm.power)
            power, mean = self._powers[alike]
            self._known[key] = Transmitter(codec, arm.transmit, arm.power, power, mean)
        return self._known[key]

    def _codec_power(self, codec: Codec, transmit: str, power: Power) -> tuple[float, Tensor]:
        card = codec.card
        name = "transmit_power" if transmit == "mean" else "transmit_power_sample"
        if name in card and "latent_mean" in card:
            mean = torch.tensor(card["latent_mean"], dtype=torch.float32, device=self._train.device)
            total = float(card[name])
        else:
            latents, spread = self._train.latents(codec, codec.calibration_images)
            mean = latents.mean(dim=0)
            total = float(latents.double().square().mean())
            if transmit == "sample":
                total += spread
        if power.centred:
            total -= float(mean.double().square().mean())
        if not total > 0:
            raise InputError(
                f"codec {codec.kind}: its latents have no power on the training split,"
                " so no SNR can be set; check its encoder"
            )
        return total, mean
