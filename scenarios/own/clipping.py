"""A channel stage of your own: a power amplifier that saturates."""

import torch

from channelsim import Positive, stage


@stage(random=False)  # it draws nothing, so an adversary who knows the channel foresees it
def amplifier(signal, rows, *, backoff: Positive = 2.0):
    """Saturates softly at ``backoff`` times the signal's rms: A·tanh(z/A). Differentiable."""
    level = backoff * rows.power**0.5  # P per real value on the wire
    return level * torch.tanh(signal / level)
