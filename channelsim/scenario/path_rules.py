"""Consistency rules of adversaries and their path, and groups of adversaries on a shared path."""

from __future__ import annotations

from collections.abc import Iterable

from channelsim.analysis.names import acting_together
from channelsim.contracts.adversary import Adversary
from channelsim.contracts.stages import Stages
from channelsim.sources import ImageSource, Source
from channelsim.support.errors import InputError


def check_shared_path(stage: Adversary, earlier: Stages, source: Source | None) -> None:
    """Raise an `InputError` where an adversary cannot follow the ``earlier`` stages."""
    others = earlier.adversaries
    before = stage.access.before_encoder
    if before and len(others) < len(earlier):
        raise InputError(
            f"{stage.label} acts before the encoder and so meets the signal first; move it to the"
            " front of the path"
        )
    if any(one.access.before_encoder != before for one in others):
        raise InputError(
            f"{others[0].label} and {stage.label} act one before the encoder and one on the wire,"
            " where budgets have different units; study them in two scenarios, or remove one"
        )
    if before and not isinstance(source, ImageSource | None):
        raise InputError(
            f"{stage.label} acts before the encoder, but this source draws codewords and has no"
            " images to change; use another source, or place: relay"
        )
    if stage.activity.energy is not None and any(one.activity.energy for one in others):
        raise InputError(
            f"{stage.label}: another adversary of this path has an energy account already; the"
            " ledger keeps one"
        )
    if (stage.budget.norm == "bits") != stage.digital:
        raise InputError(
            f"{stage.label}: budget.norm must be bits, which it flips, not {stage.budget.norm}"
            if stage.digital
            else f"{stage.label}: budget.norm bits is for adversaries on a digital link (kind:"
            f" bit_flips); {stage.kind} takes linf, l2 or psr_db"
        )
    if stage.recall and any(one.recall not in (0, stage.recall) for one in others):
        raise InputError(
            f"{stage.label}: another adversary of this path replays an older or younger codeword;"
            " the ledger remembers one, so give both the same back"
        )
    if stage.activity.classes and source is not None:
        _check_classes(stage, source)


def shared_paths(paths: Iterable[Stages]) -> list[list[str]]:
    """Names of the adversaries that share a path, each such group of any arm once.

    δ, PSR and verdict in the ledger are of all of them together.
    """
    found = []
    for path in paths:
        present = [one.label for one in path.active]
        if len(present) > 1 and present not in found:
            found.append(present)
    return found


def shared_path_notices(paths: Iterable[Stages]) -> tuple[str, ...]:
    """A sentence about adversaries on a shared path, where there are any."""
    shared = shared_paths(paths)
    if not shared:
        return ()
    return (
        f"{acting_together(shared)}: what is recorded of δ, PSR, gain and verdict is of all"
        " together; to see one alone, switch the others off by their budget.epsilon",
    )


def _check_classes(stage: Adversary, source: Source) -> None:
    labels = source.sent().labels if isinstance(source, ImageSource) else None
    if labels is None:
        raise InputError(
            f"{stage.label} chooses by class, but the source has no labels; remove classes, or"
            " choose by every"
        )
    there = sorted({int(one) for one in labels})
    if odd := [one for one in stage.activity.classes if one not in there]:
        raise InputError(
            f"{stage.label}: class {odd[0]} is not among the images that are sent"
            f" ({', '.join(map(str, there))})"
        )
