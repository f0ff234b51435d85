"""Waiting rules: what a message waits for, and the default block size that follows.

Two kinds of waiting are distinguished here and nowhere else. A message *waits* in simulated time
where an attempt may be followed by another: that costs no computation. A run must *ask*, and stop
until a block is computed, only where a receiver judges what arrives; then a block holds the few
attempts that fell due together, and padding.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from channelsim.scenario.arm import Arm

# Project's choice, measured on the shipped scenarios (2 cores). Without a judging receiver blocks
# always fill: 256. With one, 1.5 to 17 attempts fall due together on average: of 4, 8, 16 and 32
# rows, 8 took at most 1.3 times as long as the best (16: 1.6, 4: 1.5, 32: 2.5; 256: 7 to 14
# times), and 1.8 times where arrivals come so fast that blocks of 32 fill.
FULL_BLOCK = 256
JUDGED_BLOCK = 8
# Numbers of a block's images, or codewords: 256 digits of 32×32. In blocks of 256 a codec of larger
# ones takes so much memory, and so long, that nothing is recorded for minutes.
_NUMBERS = 256 * 32 * 32


def decodes(arms: Iterable[Arm]) -> bool:
    """Whether any receiver's decoder says if it succeeded."""
    return any(arm.receiver.codec.tells_decoded for arm in arms)


def judged(arm: Arm) -> bool:
    """Whether a receiver's decision depends on what arrives: the run asks for each decision."""
    return arm.receiver.detector is not None


def waits(arm: Arm) -> bool:
    """Whether more events follow a message's arrival: a decision, an answer or a silence."""
    link = arm.link
    silences = link.loss > 0 or link.contended
    return judged(arm) or link.answers or (silences and link.max_attempts > 1)


def default_block_rows(arms: Sequence[Arm]) -> int:
    """``block_rows`` of a scenario that names none: small where any receiver judges.

    Otherwise 256, or, for large images or codewords, the power of two of as many numbers as those.
    """
    if any(judged(arm) for arm in arms):
        return JUDGED_BLOCK
    codecs = [arm.receiver.codec for arm in arms]
    largest = max(max(math.prod(one.image_shape), one.latent_size) for one in codecs)
    rows = FULL_BLOCK
    while rows > JUDGED_BLOCK and rows * largest > _NUMBERS:
        rows //= 2
    return rows
