"""An adversary's goal: the image that the receiver shall show, or not show."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

from channelsim.contracts.rows import Knowledge, Rows


@dataclass(frozen=True, slots=True)
class Wanted:
    """The image that an adversary wants to be seen.

    ``of``: one image for ``all`` messages, what this very ``codec`` shows of some codeword, or one
    of each ``message``. ``key``: equal for equal images. ``drawn``: whether random numbers of the
    adversary decide.
    """

    of: Literal["all", "codec", "message"]
    key: tuple[Any, ...] = ()
    drawn: bool = False


class Goal(ABC):
    """An image, a distance D to it, and whether it shall become larger or smaller.

    ``sign``: 1 to maximise D, −1 to minimise it. ``loss``: the name of D.
    """

    sign: ClassVar[float]
    loss: str

    @abstractmethod
    def needs(self) -> Sequence[str]:
        """The knowledge of the message that it needs beside the codeword."""

    @abstractmethod
    def image(self, rows: Rows, knowledge: Knowledge) -> Tensor:
        """The image D is measured against, [N, C, H, W]."""

    @property
    def wanted(self) -> Wanted | None:
        """The image to be seen; None (default): none, the goal is damage."""
        return None


def goal_of(adversary: object) -> Goal | None:
    """The goal in an adversary's field ``goal``, None where it has none."""
    goal = getattr(adversary, "goal", None)
    return goal if isinstance(goal, Goal) else None
