"""One transmission in words: its outcome, the damage by cause, its latent change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.text import Text

from channelsim.analysis.names import fixed
from channelsim.contracts import records
from channelsim.display.live.info import is_number
from channelsim.display.live.model import Model
from channelsim.display.live.remembered import Details
from channelsim.display.live.style import (
    ACCENT,
    BAD,
    BOLD,
    CAUTION,
    DIM,
    GOOD,
    clock,
    fit,
    word_style,
    wrapped,
)

UNSEEN = {records.LOST, records.REJECTED}  # the user is shown a fallback
_BAR = "▏▎▍▌▋▊▉█"


def story(model: Model, details: Details, row: Mapping[str, Any], width: int) -> list[Text]:
    """Everything about a row, in lines of this width: verdict, blame, budgets, powers, metrics."""
    arm = model.info.keys.of_transmission(model.selected)[0] if model.selected is not None else 0
    lines = _verdict_lines(row, width)
    lines += _blame(model, arm, row, width)
    lines += _budgets(model, arm, row, width)
    lines += _powers(row, width)
    lines += _latent(details, model, row, width)
    lines += _metrics(model, row, width)
    lines += _rest(model, row, width)
    return lines


def _verdict_lines(row: Mapping[str, Any], width: int) -> list[Text]:
    word, fate = row.get("verdict"), row.get("delivered")
    said = {
        records.DELIVERED: "delivered",
        records.LOST: "lost on the link",
        records.REJECTED: "rejected by the detector",
        None: "not settled yet",
    }.get(fate, str(fate))
    if row.get("attempts"):
        tries = int(row["attempts"])
        said += f" after {tries} {'try' if tries == 1 else 'tries'}"
    verdict = str(word) if word else "no attack"
    style = f"bold {word_style(verdict) or GOOD}" if word else DIM
    lines = [Text.assemble((verdict, style), f" · {said}")]
    if row.get("sent_s") is not None and row.get("done_s") is not None:
        took = f"sent {clock(row['sent_s'])}, took {1000 * (row['done_s'] - row['sent_s']):.0f} ms"
        if lines[0].cell_len + len(took) + 3 <= width:
            lines[0].append(f" · {took}", DIM)
        else:
            lines.append(Text(took, style=DIM))
    meaning = records.VERDICTS.get(verdict)
    if meaning and verdict not in {records.OK, records.OFF}:
        lines += wrapped(meaning, width, DIM)
    return lines


def _blame(model: Model, arm: int, row: Mapping[str, Any], width: int) -> list[Text]:
    """Damage by codec, channel, adversary and matched noise, beside the arm's mean."""
    gauge = model.figures.gauge
    if gauge is None or row.get(f"{gauge}_source") is None:
        return []
    place = model.info.metrics.index(gauge)
    scale = model.figures.scales[place]

    def damage(column: str) -> float | None:
        value = row.get(column)
        if value is None or not is_number(value):
            return None
        return float(scale.damage(scale.to_additive(np.array([float(value)])))[0])

    whole = damage(f"{gauge}_source")
    if whole is None:
        return []
    mean = float(model.figures.estimates(f"{gauge}_source").damage[arm])
    name = f"{gauge} lost" if scale.higher_is_better else gauge
    name = scale.damage_name if scale.decibels else name
    first = f"{name} {whole:.3g}"
    if mean > 0:
        first += f", {whole / mean:.1f}× the mean here ({mean:.3g})"
    found = [*wrapped(first, width, BOLD, "  ")]
    parts = [("codec alone", damage(f"quality_{gauge}"), DIM)]
    if row.get("delivered") in UNSEEN:
        # Distances to `clean` and `passive` are those of the fallback, which has no cause.
        parts.append(("fallback shown", whole, CAUTION))
    elif _attacked(row):
        parts += [
            ("channel and attack", damage(f"{gauge}_clean"), ""),
            ("adversary alone", damage(f"{gauge}_passive"), BAD),
            ("same noise instead", damage(f"control_{gauge}_passive"), CAUTION),
        ]
    else:
        parts.append(("channel alone", damage(f"{gauge}_clean"), CAUTION))
    known = [(label, value, style) for label, value, style in parts if value is not None]
    most = max([whole, *(value for _, value, _ in known)])
    room = max(6, min(24, width - 32))
    for label, value, style in known:
        line = Text(f"  {label:<18} {value:7.3f} ")
        line.append(_bar(value / most if most > 0 else 0.0, room), style)
        found.append(line)
    return found


def _attacked(row: Mapping[str, Any]) -> bool:
    return any((row.get(column) or 0) > 0 for column in ("delta_l2", "flipped_bits"))


def _bar(share: float, width: int) -> str:
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    full, rest = divmod(eighths, 8)
    return "█" * full + (_BAR[rest - 1] if rest else "")


def _budgets(model: Model, arm: int, row: Mapping[str, Any], width: int) -> list[Text]:
    found = []
    budgets = model.info.budgets(arm)
    for name, norm, epsilon in budgets:
        column, symbol = {
            "linf": ("delta_linf", "max |δ|"),
            "l2": ("delta_l2", "‖δ‖₂"),
            "psr_db": ("psr_db", "PSR"),
        }.get(norm, ("delta_l2", norm))
        used = row.get(column)
        if used is None or not is_number(used):
            line = Text.assemble(f"{name}: nothing injected", (f" of ε {epsilon:g}", DIM))
        elif norm == "psr_db":
            line = Text(f"{name}: {symbol} {fixed(used, 1)} of {epsilon:g} dB")
        else:
            share = used / epsilon if epsilon > 0 else 0.0
            line = Text(f"{name}: {symbol} {used:.3g} of {epsilon:g} ")
            line.append(_bar(share, 6), ACCENT)
            line.append(f" {100 * share:.0f} %", DIM)
        if len(budgets) > 1:
            line.append(" (all together)", DIM)
        line.truncate(width, overflow="ellipsis")
        found.append(line)
    return found


def _powers(row: Mapping[str, Any], width: int) -> list[Text]:
    parts = []
    for label, column in (
        ("PSR", "psr_db"),
        ("at the receiver", "psr_received_db"),
        ("SNR measured", "snr_measured_db"),
    ):
        if is_number(row.get(column)):
            parts.append(f"{label} {fixed(row[column], 1)} dB")
    if is_number(row.get("score")):
        parts.append(f"score {row['score']:.3g}")
    return wrapped(" · ".join(parts) or "nothing disturbed it", width)


def _latent(details: Details, model: Model, row: Mapping[str, Any], width: int) -> list[Text]:
    """The change per latent dimension: by the adversary, or where none acted by the channel."""
    replay = details.replays.get(model.selected) if model.selected is not None else None
    if replay is None or not replay.latents:
        if replay is not None and replay.pending:
            return wrapped("change in the latent: recomputing …", width, ACCENT)
        if replay is not None and replay.error:
            return []
        wanted = "change in the latent" + _unseen(details, model)
        return wrapped(f"{wanted}: press i to recompute", width, DIM)
    latents = replay.latents
    if not {"sent", "passive", "received"} <= latents.keys():
        return []
    if _attacked(row):
        return latent_lines(latents["received"] - latents["passive"], latents["sent"], width)
    change = latents["passive"] - latents["sent"]
    return latent_lines(change, latents["sent"], width, " by the channel")


def _unseen(details: Details, model: Model) -> str:
    """A hint at the other receivers' images, where only the selected transmission has any."""
    selected = model.selected
    if selected is None or "received" not in details.images(selected):
        return ""
    others = details.siblings(selected)
    missing = any("received" not in details.images(other) for other in others)
    return f", other receivers' {model.info.header.noun}s" if missing else ""


def latent_lines(change: np.ndarray, sent: np.ndarray, width: int, by: str = "") -> list[Text]:
    """Bars of a change per dimension, above and below a line; numbers of the largest ones."""
    most = float(np.abs(change).max()) if len(change) else 0.0
    wide = max(1, min(3, (width - 2) // max(1, len(change))))
    shown = min(len(change), (width - 2) // wide)
    blocks = "▁▂▃▄▅▆▇█"
    above, below = Text("  "), Text("  ")
    for value in change[:shown]:
        tall = min(7, int(abs(value) / most * 7.999)) if most > 0 else 0
        gap = " " if wide > 1 else ""
        bar = wide - len(gap)
        up = blocks[tall] * bar if value > 0 else "─" * bar
        # A hanging bar is its complement in reverse video.
        above.append(up if value > 0 else " " * bar, GOOD if value > 0 else "")
        above.append(gap)
        if value < 0 and most > 0:
            below.append("▔" * bar if tall < 2 else ("▀" if tall < 6 else "█") * bar, BAD)
        else:
            below.append(" " * bar)
        below.append(gap)
    order = np.argsort(-np.abs(change))[: 3 if width < 50 else 4]
    largest = ", ".join(f"z{place} {change[place]:+.2f}" for place in order)
    norm = float(np.linalg.norm(change)), float(np.linalg.norm(sent))
    head = f"change in the latent{by}, K = {len(change)}: "
    head += f"|δ| {norm[0]:.2f} beside |z| {norm[1]:.2f}"
    return [*wrapped(head, width), above, below, *wrapped(f"  most: {largest}", width, DIM, "  ")]


def _metrics(model: Model, row: Mapping[str, Any], width: int) -> list[Text]:
    suffixes = ("source", "clean", "passive", "target")
    known = [
        suffix
        for suffix in suffixes
        if any(is_number(row.get(f"{metric}_{suffix}")) for metric in model.info.metrics)
    ]
    known = known[: max(1, (width - 10) // 10)]
    found = [Text(f"{'against':<9}" + "".join(f"{suffix:>10}" for suffix in known), style=DIM)]
    for metric, scale in zip(model.info.metrics, model.figures.scales, strict=True):
        cells = []
        for suffix in known:
            value = row.get(f"{metric}_{suffix}")
            digits = 2 if scale.decibels else 4
            cells.append(f"{value:>10.{digits}f}" if is_number(value) else f"{'–':>10}")
        found.append(Text(f"{fit(metric, 9):<9}" + "".join(cells)))
    return found


_TOLD = {
    "attempt", "transmission", "lost", "accepted", "score", "snr_db", "snr_measured_db",
    "snr_row_db", "delta_linf", "delta_l2", "psr_db", "psr_row_db", "psr_received_db", "verdict",
    "arrived_s",
}  # fmt: skip


def _rest(model: Model, row: Mapping[str, Any], width: int) -> list[Text]:
    """Columns not shown above: the state of the channel, for example."""
    metrics, control = model.info.metrics, model.info.control
    measured = set(records.quality_columns(metrics))
    measured |= set(records.metric_columns(metrics, control, judged=True, passive=True))
    parts = []
    for name in model.reader.columns:
        value = row.get(name)
        if name in _TOLD or name in measured or value is None:
            continue
        parts.append(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}")
    return wrapped("channel: " + " · ".join(parts), width, DIM, "  ") if parts else []
