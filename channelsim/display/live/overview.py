"""The clocks and the path: the progress of a run, and which stages are active now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from channelsim.analysis.names import number
from channelsim.display.live.info import RunInfo, is_number, name_of
from channelsim.display.live.model import FINISHED, INTERRUPTED, RUNNING, SILENT_S, Model
from channelsim.display.live.style import (
    ACCENT,
    BAD,
    BOLD,
    CAUTION,
    DIM,
    GOOD,
    Theme,
    clock,
    columns,
    fit,
)
from channelsim.support.durations import duration


def status(model: Model, width: int) -> list[Text]:
    """Two lines: the run and its state; clocks, progress, rate and time left."""
    mark, word, style = _state(model)
    state = Text.assemble((f"{mark} {word}", f"bold {style}"))
    room = width - state.cell_len - 2
    first = Text(fit(model.info.title, room), style=BOLD)
    first.pad_right(room + 2 - first.cell_len)
    first.append_text(state)
    return [first, _clocks(model, width)]


def _state(model: Model) -> tuple[str, str, str]:
    if model.playback is not None:
        how = "over" if model.playback.over else "paused" if model.paused else "playing"
        speed = f"{model.speed:g}" if model.speed >= 1 else f"1/{1 / model.speed:g}"
        return "▶", f"{how}, speed ×{speed}", ACCENT
    if model.paused:
        return "‖", "view paused", CAUTION
    if (read := model.following.progress) is not None:
        return "…", f"{model.state}, reading {100 * read:.0f} %", ACCENT
    if model.state == RUNNING and model.quiet_s > SILENT_S:
        return "●", f"running, silent for {duration(model.quiet_s)}", CAUTION
    return {
        RUNNING: ("●", "running", GOOD),
        FINISHED: ("✓", "finished", GOOD),
        INTERRUPTED: ("■", "interrupted", BAD),
    }[model.state]


def _clocks(model: Model, width: int) -> Text:
    settled, total = model.figures.settled, model.info.total
    share = settled / total if total else 1.0
    parts = [f"simulated {clock(model.sim_s)}"]
    if model.wall_s is not None:
        parts.append(f"wall {duration(model.wall_s)}")
    parts.append(f"{settled:,}/{total:,} {100 * share:.0f} %")
    if (rate := model.rate) is not None:
        parts.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s")
    if model.state == RUNNING or model.playback is not None:
        parts.append(f"queue {model.figures.waiting:,}")
    if model.left_s is not None:
        parts.append(f"{duration(model.left_s)} left")
    elif model.state == FINISHED and model.wall_s and model.playback is None:
        parts.append(f"{total / model.wall_s:,.0f}/s")
    text = " · ".join(parts)
    while len(text) > width and len(parts) > 2:
        parts.pop(1)
        text = " · ".join(parts)
    line = Text(text)
    bar = width - line.cell_len - 2
    if bar >= 8:
        full = round(share * bar)
        line.append("  ")
        line.append("━" * full, ACCENT)
        line.append("─" * (bar - full), DIM)
    return line


# --- the path -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Node:
    """A box of the diagram: name, kind, a live count, and whether it is active."""

    name: str
    what: str
    count: str
    active: bool
    style: str = ""


def path_lines(model: Model, width: int, height: int, theme: Theme) -> list[Text]:
    """The path from the source to the receivers: boxes in a row, or one under the other."""
    nodes, receivers = _nodes(model), _receivers(model, theme)
    row = _in_a_row(nodes, receivers, width, height)
    return row or _stacked(nodes, receivers, width, height)


def path_height(model: Model, width: int, aside: bool) -> int:
    """Lines that the path takes in a panel of this width, with a panel ``aside`` of it or not."""
    lines = len(path_lines(model, width, 10, Theme()))
    beside = min(9, len(model.info.receivers) + 1) if aside else 0  # and an axis
    return max(4, min(10, lines), beside)


def _nodes(model: Model) -> list[Node]:
    info, figures = model.info, model.figures
    source = info.scenario.get("source") or {}
    attempts = int(figures.tally["attempts"].sum())
    lost, attacked = int(figures.tally["lost"].sum()), int(figures.tally["attacked"].sum())
    moving = bool(any(model.active(arm.arm) for arm in info.arms))
    sent = figures.last_message + 1
    before: list[Node] = []
    nodes = [
        Node(
            "source",
            str(source.get("name") or source.get("kind") or "messages"),
            f"{sent:,} of {info.count:,}",
            moving,
        ),
        Node("encoder", _latent(info), f"{attempts:,} sent", moving),
        Node("link", _link(info), f"{lost:,} lost", moving),
    ]
    met = False
    for place, stage in enumerate(info.stages):
        others = info.variants(place)
        if any(isinstance(one.get("budget"), Mapping) for one in others):
            # The ledger counts all adversaries together.
            count, met = "see above" if met else f"{attacked:,} hit", True
            if len(others) > 1:
                name, kind = f"path.{place}", _names(others)
            else:
                name, kind = name_of(others[0]), _adversary(info, others[0])
            node = Node(f"⚔ {name}", kind, count, model.attacking, BAD)
            (before if info.before_encoder(stage) else nodes).append(node)
        else:
            snr = figures.snr_db()
            known = snr[snr == snr]
            last = stage is info.stages[-1] and len(known)
            count = f"SNR {_span(known, 1.0)} dB" if last else ""
            one = len(others) == 1
            name = name_of(others[0]) if one else f"path.{place}"
            what = _stage(info, others[0]) if one else _names(others)
            nodes.append(Node(name, what, count, moving))
    return [nodes[0], *before, *nodes[1:]]


def _receivers(model: Model, theme: Theme) -> list[Node]:
    info, figures = model.info, model.figures
    found = []
    for place, receiver in enumerate(info.receivers):
        arms = [arm.arm for arm in info.arms if arm.receiver == receiver]
        settled = int(figures.settled_of[arms].sum())
        refused = int(figures.tally["rejected"][arms].sum())
        count = f"{settled:,}" + (f", {refused:,} refused" if refused else "")
        active = any(model.active(arm) for arm in arms)
        found.append(Node(receiver, "", count, active, theme.receiver(place)))
    return found


def _in_a_row(
    nodes: Sequence[Node], receivers: Sequence[Node], width: int, height: int
) -> list[Text]:
    rows = [Text(), Text(), Text()]
    for place, node in enumerate(nodes):
        wide = max(len(node.name) + 2, len(node.what), len(node.count))
        arrow = " ─▶ " if place else ""
        cells = [_name(node), Text(node.what, style=DIM), Text(node.count)]
        for line, (row, cell) in enumerate(zip(rows, cells, strict=True)):
            row.append(arrow if line == 0 else " " * len(arrow), DIM)
            row.append_text(cell)
            row.append(" " * (wide - cell.cell_len))
    names = max(len(node.name) for node in receivers) + 2
    fan = [_fan(node, names) for node in receivers]
    if len(fan) > height:
        fan = [*fan[: height - 1], Text(f"and {len(receivers) - height + 1} more", style=DIM)]
    joined = []
    for place, one in enumerate(fan):
        if len(fan) == 1:
            joint = " ─▶ "
        elif place == 0:
            joint = " ┬▶ "
        else:
            joint = " └▶ " if place == len(fan) - 1 else " ├▶ "
        joined.append(Text.assemble((joint, DIM), one))
    found = columns(rows, joined, rows[0].cell_len, gap=0)
    return found if max(row.cell_len for row in found) <= width else []


def _stacked(
    nodes: Sequence[Node], receivers: Sequence[Node], width: int, height: int
) -> list[Text]:
    names = max(len(node.name) for node in [*nodes, *receivers]) + 2
    counts = max(len(node.count) for node in [*nodes, *receivers])
    room = max(8, width - names - counts - 6)
    rows = []
    for place, node in enumerate(nodes):
        row = Text.assemble(("  " if place == 0 else "↓ ", DIM))
        name = _name(node)
        name.pad_right(names - name.cell_len)
        row.append_text(name)
        row.append(f"  {node.count:<{counts}}  ")
        row.append(fit(node.what, room), DIM)
        rows.append(row)
    fan = [_fan(node, names) for node in receivers]
    widest = max(row.cell_len for row in rows)
    beside = width - widest - 5 >= max(row.cell_len for row in fan)
    if len(nodes) + len(fan) > height and len(fan) <= height and beside:
        corners = ["┬▶ ", *["├▶ "] * (len(fan) - 1)]
        joined = [Text.assemble((c, DIM), one) for c, one in zip(corners, fan, strict=True)]
        return columns(rows, joined, widest)
    left = max(1, height - len(rows))
    shown = list(receivers)[: left if len(receivers) <= left else left - 1]
    for place, node in enumerate(shown):
        corner = "└▶" if place == len(receivers) - 1 else "├▶"
        rows.append(Text.assemble((corner, DIM), _fan(node, names)))
    if len(shown) < len(receivers):
        rows.append(Text(f"└▶ and {len(receivers) - len(shown)} more", style=DIM))
    return rows


def _name(node: Node) -> Text:
    mark = "●" if node.active else "○"
    return Text.assemble(
        (f"{mark} ", node.style if node.active else DIM),
        (node.name, f"bold {node.style}".strip() if node.active else node.style),
    )


def _fan(node: Node, names: int) -> Text:
    name = _name(node)
    name.pad_right(names - name.cell_len)
    name.append(f"  {node.count}")
    return name


# --- what stands in the boxes -------------------------------------------------------------------


def _latent(info: RunInfo) -> str:
    found = {info.header.calibration.latent_size(arm.arm) for arm in info.arms}
    sizes = sorted(size for size in found if size is not None)
    if not sizes:
        return str(info.scenario.get("transmit") or "")
    return f"K = {sizes[0]}" if len(sizes) == 1 else f"K = {sizes[0]} to {sizes[-1]}"


def _adversary(info: RunInfo, stage: Mapping[str, Any]) -> str:
    budget = stage["budget"]
    swept = info.short.get(f"{name_of(stage)}.budget.epsilon")
    if swept is not None:
        values = [v for v in info.values(f"{name_of(stage)}.budget.epsilon") if is_number(v)]
        epsilon = f"{number(min(values))} to {number(max(values))}" if values else "swept"
    else:
        epsilon = number(budget.get("epsilon"))
    return f"{stage.get('kind') or 'own'} {budget.get('norm', '')} ε {epsilon}"


def _names(stages: Sequence[Mapping[str, Any]]) -> str:
    """Names of the stages that the sweep puts in one place of the path."""
    shown = [name_of(stage) for stage in stages[:2]]
    return " or ".join([*shown, f"{len(stages) - 2} more"] if len(stages) > 2 else shown)


def _stage(info: RunInfo, stage: Mapping[str, Any]) -> str:
    said = [] if name_of(stage) == stage.get("kind") else [str(stage.get("kind") or "own")]
    for key, value in stage.items():
        dotted = f"{name_of(stage)}.{key}"
        if dotted in info.swept_keys:
            values = [v for v in info.values(dotted) if is_number(v)]
            said.append(f"{key} {_span(values)}" if values else f"{key} swept")
        elif is_number(value) and len(said) < 2:
            said.append(f"{key} {number(value)}")
    return ", ".join(said)


def _link(info: RunInfo) -> str:
    link = info.scenario.get("link") or {}
    said = []
    if is_number(link.get("latency_s")):
        said.append(f"{1000 * link['latency_s']:g} ms")
    if is_number(link.get("symbol_rate_hz")):
        said.append(f"{link['symbol_rate_hz'] / 1000:g} kHz")
    if info.max_attempts > 1:
        said.append(f"{info.max_attempts} tries")
    if is_number(link.get("transmitters")) and link["transmitters"] > 1:
        said.append(f"{link['transmitters']} stations, {link.get('access', 'queue')}")
    return ", ".join(said)


def _span(values: Sequence[float], nearly: float = 0.0) -> str:
    """Return ``30`` or ``10 to 30``; the mean where they differ by less than ``nearly``."""
    if not len(values):
        return "–"
    if max(values) - min(values) < nearly:
        return f"{sum(values) / len(values):.3g}"
    low, high = f"{min(values):.3g}", f"{max(values):.3g}"
    return low if low == high else f"{low} to {high}"
