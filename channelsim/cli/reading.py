"""The commands ``channelsim list``, ``schema``, ``replay`` and ``export``."""

from __future__ import annotations

import dataclasses
import json
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from channelsim.cli.inputs import consent, existing_run, warn
from channelsim.support.errors import Differs, InputError, did_you_mean, printable

if TYPE_CHECKING:
    from channelsim.runs.replay import ReplayedAttempt


def list_parts(*, kind: str | None) -> None:
    """Print the parts of scenarios and recipes, shelf by shelf, with their keys."""
    from channelsim.scenario.listing import described
    from channelsim.scenario.listing import listing as parts_listing
    from channelsim.training.recipe import KEYS, Recipe

    fields = textwrap.wrap(", ".join(field.name for field in dataclasses.fields(Recipe)), 84)
    recipes = [f"{word:<16}{line}" for word, line in zip(["keys", ""], fields, strict=False)]
    recipes += [line for key, cls in KEYS.items() for line in described(key, cls)]
    listing = parts_listing() | {"recipes": recipes}
    plurals = {
        plural.removesuffix("s").replace("adversarie", "adversary"): plural for plural in listing
    }
    kind = plurals.get(kind or "", kind)
    if kind is not None and kind not in listing:
        of = [
            shelf for shelf, lines in listing.items() for line in lines if line.split()[0] == kind
        ]
        if of:
            raise InputError(f"list {kind}: is one of the {of[0]}; try channelsim list {of[0]}")
        raise InputError(
            f"list {kind}: there is no such kind of part (known: {', '.join(listing)})."
            f"{did_you_mean(kind, listing)}"
        )
    for name in listing if kind is None else [kind]:
        sys.stdout.write(f"{name}\n")
        for line in listing[name]:
            sys.stdout.write(f"  {line}\n")


def schema() -> None:
    """Print the JSON Schema of scenario files."""
    from channelsim import scenario

    sys.stdout.write(json.dumps(scenario.schema(), indent=2) + "\n")


def replay(
    *,
    folder: Path,
    transmission: int,
    attempt: int | None,
    out: Path | None,
    data_root: Path | None,
    allow_code: bool,
) -> None:
    """Recompute one attempt, print the comparison, and save its pictures to ``out``."""
    from channelsim.runs.replay import replay as recompute

    again = recompute(
        existing_run(folder).parent,
        transmission,
        attempt=attempt,
        data_root=data_root,
        allow_code=consent(allow_code),
    )
    warn(again.notices)
    for line in _comparison(again):
        sys.stdout.write(line + "\n")
    if out is not None:
        _save(again, out)
        sys.stdout.write(f"pictures: {out} ({', '.join(again.images)})\n")
    if again.flips:
        names = ", ".join(column.column for column in again.flips)
        raise Differs(f"differs from the ledger (expected: {again.promise}): {names}")


def _comparison(again: ReplayedAttempt) -> list[str]:
    swept = "".join(f", {key} {value}" for key, value in again.swept.items())
    lines = [
        f"transmission {again.transmission}, attempt {again.attempt}:"
        f" message {again.message}, receiver {again.receiver}{swept}"
    ]
    width = max(len(column.column) for column in again.columns)
    for column in again.columns:
        agreement = "=" if column.agrees else "differs"
        values = [_shown(column.stored)]
        if column.stored != column.recomputed:
            values.append(_shown(column.recomputed))
        lines.append(f"  {column.column:<{width}}  {' / '.join(values)}  {agreement}")
    if not again.flips:
        lines.append(f"equals the ledger, {again.promise}")
    return lines


def _shown(value: Any) -> str:
    return (
        "-"
        if value is None
        else f"{value:.6g}"
        if isinstance(value, float)
        else printable(str(value))
    )


def _save(again: ReplayedAttempt, out: Path) -> None:
    """The pictures together, four times their size."""
    import numpy as np
    from PIL import Image

    try:
        # Images side by side, signals one under another, as they are read.
        across = 1 if again.sampling is None else 0
        pixels = np.concatenate(list(again.pictures().values()), axis=across)
        picture = Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)
        picture = picture.resize((4 * picture.width, 4 * picture.height), Image.Resampling.NEAREST)
        picture.save(out)
    except (OSError, ValueError) as error:
        raise InputError(f"--out {out}: cannot write a picture there ({error})") from error


def export(*, folder: Path, format_: str, out: Path | None) -> None:
    """The flat table, to a file or to standard output."""
    from channelsim.analysis.closing import ending
    from channelsim.ledger import Ledger
    from channelsim.ledger import export as tables
    from channelsim.ledger.examination import examined

    path = existing_run(folder)
    warn(ending(path).notices)
    with examined(path), Ledger.open(path) as ledger:
        warn(ledger.notices)
        tables.export(ledger, format_, out)
