"""How much of the best known each attack reaches, and at how many gradients, codec by codec.

On digits that no setting was chosen on (see `helpers.strength`); ``DIGITS``: how many, default 64,
and ``CODECS``: which, default all of the zoo. A value counts as half a gradient. Better values than
the best known are written into its file; long searches are made where it has none, or with
``ANEW=1``.
"""

from __future__ import annotations

import os

import numpy as np
from helpers.strength import MOST, POINTS, Ground, Point, best_known, raised, share
from pydantic import TypeAdapter

from channelsim.adversaries import ADVERSARIES
from channelsim.codecs import zoo_names
from channelsim.contracts.adversary import Adversary
from channelsim.support import arithmetic

ATTACKS = {
    "pgd": {"kind": "pgd"},
    "pgd, ten starts": {"kind": "pgd", "restarts": 10},
    "momentum": {"kind": "momentum"},
    "apgd": {"kind": "apgd"},
    "ensemble": {"kind": "ensemble"},
}


def attack(name: str, point: Point) -> Adversary:
    fields = {"goal": point.goal, "budget": point.budget} | ATTACKS[name]
    made: Adversary = TypeAdapter(ADVERSARIES[str(fields.pop("kind"))]).validate_python(fields)
    return made


def known_of(codec: str, point: Point, count: int) -> bool:
    """Whether long searches were made for so many digits."""
    return len(best_known().get(codec, {}).get(point.name, [])) >= count


def bench_strength() -> None:
    count = int(os.environ.get("DIGITS", str(MOST)))
    codecs = os.environ.get("CODECS", ",".join(zoo_names())).split(",")
    print("\ncodec | point | attack | share | least | rows ≥ .99 | gradients | most")
    with arithmetic.threads(1):
        for codec in codecs:
            ground = Ground(codec, count)
            for point in POINTS:
                passive = ground.passive(point)
                found = {name: ground.reached(point, attack(name, point)) for name in ATTACKS}
                values = [value for value, _ in found.values()]
                if "ANEW" in os.environ or not known_of(codec, point, count):
                    values.append(ground.long(point))
                best = raised(codec, point, np.max(values, axis=0))
                for name, (value, spent) in found.items():
                    part = share(value, passive, best)
                    print(
                        f"{codec} | {point.name} | {name} | {part.mean():.4f} | {part.min():.3f}"
                        f" | {np.mean(part >= 0.99):.2f} | {spent.mean():.0f} | {spent.max():.0f}",
                        flush=True,
                    )
