"""Recompute any transmission of a run and compare it with the ledger.

The row is computed in a block of the run's own shape, so where the platform is the same (header:
fingerprint; no `--mixed`) and the self-test found that rows keep their bits there, every number
must agree bit for bit; elsewhere within 1e-4, and columns that differ are listed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from channelsim.analysis.closing import ending
from channelsim.contracts.promises import TOLERANCE, keeps_bits
from channelsim.contracts.run_header import RunHeader
from channelsim.contracts.sampling import Sampling
from channelsim.ledger import Ledger
from channelsim.ledger.consent import Consent
from channelsim.ledger.examination import examined
from channelsim.ledger.waveform import drawn
from channelsim.runs.recompute import Recomputation
from channelsim.simulation.attempt_rows import as_bytes
from channelsim.simulation.header import computes_onnx, fingerprint, threads_of
from channelsim.support.errors import InputError

_PLACE = "place in the block"
# The event plane's columns: replay takes them from the ledger instead of computing them.
_GIVEN = ("attempt", "transmission", "arrived_s", "lost", "began_s", "allowance", "replayed")


@dataclass(frozen=True)
class Compared:
    """One column of one attempt: as stored, as recomputed, and whether they agree."""

    column: str
    stored: Any
    recomputed: Any
    agrees: bool


@dataclass(frozen=True)
class ReplayedAttempt:
    """A recomputed attempt: its columns beside the ledger's, and its images by role.

    ``exact``: whether agreement was required bit for bit (same platform, and rows keep their bits
    on it) or within 1e-4: ``unlike`` names the parts of the fingerprint that differ from the run's,
    or ``place in the block`` where that changes bits there.
    ``images``: source, clean, passive, received, each [C, H, W] in [0, 1], and attacked: the
    encoder's input, where there is an input attack; or signals [C, L], as ``sampling`` says.
    ``latents``: sent, passive, received, each [K],
    as input of the receiver's decoder. ``notices``: about the ledger.
    """

    transmission: int
    attempt: int
    receiver: str
    swept: Mapping[str, Any]
    message: int
    exact: bool
    unlike: tuple[str, ...]
    columns: tuple[Compared, ...]
    images: Mapping[str, Tensor]
    latents: Mapping[str, Tensor]
    sampling: Sampling | None = None
    notices: tuple[str, ...] = ()

    @property
    def promise(self) -> str:
        """The required agreement, and the reason where it is not bit for bit."""
        if self.exact:
            return "bit for bit"
        others = [name.replace("_", " ") for name in self.unlike if name != _PLACE]
        reason = (
            f"the run had other {', '.join(others)}"
            if others
            else "where it ran, a row's bits depended on its place in a block"
        )
        return f"within {TOLERANCE:g} ({reason})"

    def pictures(self) -> dict[str, NDArray[np.uint8]]:
        """The images by role as bytes [H, W, C]; signals drawn, over the source's."""
        given = {role: image.detach().cpu() for role, image in self.images.items()}
        if self.sampling is None:
            return {role: as_bytes(image[None])[0] for role, image in given.items()}
        source = given["source"].numpy()
        return {
            role: drawn(one.numpy(), self.sampling, None if role == "source" else source)
            for role, one in given.items()
        }

    @property
    def flips(self) -> tuple[Compared, ...]:
        """The columns that do not agree."""
        return tuple(column for column in self.columns if not column.agrees)


def replay(
    folder: Path | str,
    transmission: int,
    attempt: int | None = None,
    data_root: Path | str | None = None,
    allow_code: Consent = False,
) -> ReplayedAttempt:
    """Recompute one attempt (default: the last) of a transmission of the run in ``folder``.

    ``allow_code``: whether code that the ledger names may run, or a callback to ask, see `consent`.
    """
    path = Path(folder) / "ledger.sqlite"
    how = ending(path)
    with examined(path):
        found = _replayed(path, transmission, attempt, data_root, allow_code)
    return replace(found, notices=(*how.notices, *found.notices))


def _replayed(
    path: Path,
    transmission: int,
    attempt: int | None,
    data_root: Path | str | None,
    allow_code: Consent,
) -> ReplayedAttempt:
    with Ledger.open(path) as ledger:
        header = ledger.header()
        arms = {arm.arm: arm for arm in ledger.arms()}
        notices = ledger.notices
        stored = _stored(ledger, header, transmission, attempt)
    number, message = header.keys.of_transmission(transmission)
    tried = header.keys.of_attempt(stored["attempt"])[1]
    with threads_of(header):
        again = Recomputation(path.parent, data_root, allow_code)
        outcome, images, latents = again.transmit(number, [stored["attempt"]])
        there = header.fingerprint
        matter = there.get("threads") is not None
        here = fingerprint(
            again.scenario.block_rows,
            again.paths.device,
            threads_matter=matter,
            onnx=computes_onnx(again.scenario),
        )
    unlike = [name for name in here if here[name] != there.get(name)]
    if not unlike and not keeps_bits(header):
        unlike.append(_PLACE)
    if "mixed" in header:  # rows do not record their machine
        unlike.append("machines")
    recomputed = {"accepted": int(outcome.accepted[0])} | {
        name: values[0] for name, values in outcome.columns.items()
    }
    return ReplayedAttempt(
        transmission=transmission,
        attempt=tried,
        receiver=arms[number].receiver,
        swept=arms[number].swept,
        message=message,
        exact=not unlike,
        unlike=tuple(unlike),
        columns=tuple(
            _compare(name, value, recomputed[name], not unlike)
            for name, value in stored.items()
            if name not in _GIVEN
        ),
        images={role: pictures[0] for role, pictures in images.items()},
        latents={role: latent[0] for role, latent in latents.items()},
        sampling=header.sampling,
        notices=notices,
    )


def _stored(
    ledger: Ledger, header: RunHeader, transmission: int, attempt: int | None
) -> dict[str, Any]:
    names = ledger.attempt_columns
    columns = ", ".join('"' + name.replace('"', '""') + '"' for name in names)
    query = f"SELECT {columns} FROM attempt WHERE transmission = ? ORDER BY attempt"
    total = len(ledger.arms()) * header.count
    rows = list(ledger.rows(query, (transmission,))) if 0 <= transmission < total else []
    if not rows:
        raise InputError(
            f"--transmission {transmission}: not in this ledger; a complete one holds 0 to"
            f" {total - 1} (column `transmission` of the export)"
        )
    if attempt is not None and not 0 <= attempt < len(rows):
        raise InputError(
            f"--attempt {attempt}: transmission {transmission} has attempts 0 to {len(rows) - 1}"
        )
    return dict(zip(names, rows[-1 if attempt is None else attempt], strict=True))


def _compare(column: str, stored: Any, recomputed: Any, exact: bool) -> Compared:
    value = recomputed.item() if isinstance(recomputed, np.generic) else recomputed
    if isinstance(value, float) and math.isnan(value):
        value = None
    if stored == value:
        agrees = True
    elif exact or not isinstance(stored, float) or not isinstance(value, float):
        agrees = False
    else:
        agrees = math.isclose(stored, value, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return Compared(column, stored, value, agrees)
