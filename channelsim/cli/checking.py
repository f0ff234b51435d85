"""``channelsim check``: one message per arm, then an estimate of the whole run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from channelsim.cli.inputs import settings_of, size
from channelsim.support.durations import duration
from channelsim.support.errors import printable

if TYPE_CHECKING:
    from channelsim.runs.estimate import Estimate, Trial
    from channelsim.scenario import Scenario


def check(*, scenario: str, settings: list[str], seed: int | None, data_root: Path | None) -> None:
    """Load, try, estimate, and print the findings."""
    from channelsim.display.console import StandardConsole
    from channelsim.runs.estimate import BUDGET_S, FIRST_ROWS, estimate, trial
    from channelsim.scenario import Scenario

    console = StandardConsole(wrapped=False)
    loaded = Scenario.load(scenario, set=settings_of(settings), seed=seed, data_root=data_root)
    _table(console, loaded.title, _contents(loaded))
    aside = StandardConsole(error=True)
    with aside.status("sending one message through every arm"):
        tried = trial(loaded, 1, min(FIRST_ROWS, loaded.block_rows))
    _table(console, None, _findings(tried))
    with aside.status(f"trying block sizes, for about {BUDGET_S:.0f} s"):
        found = estimate(loaded, first=tried)
    _table(console, None, _forecast(found, loaded))


def _contents(scenario: Scenario) -> Iterator[tuple[str, str]]:
    from channelsim.analysis.names import number

    source = scenario.source
    yield "messages", f"{source.messages:,} of {source.described}"
    yield "arms", f"{len(scenario.arms)}: receivers {', '.join(scenario.receivers)}"
    linked = scenario.resolved.get("zip", [])
    for keys in [*linked, *([key] for key in scenario.swept_keys if not _any_has(linked, key))]:
        points = [" with ".join(number(arm.swept[key]) for key in keys) for arm in scenario.arms]
        yield "sweep", f"{' with '.join(keys)}: {', '.join(dict.fromkeys(points))}"
    measured = ", ".join(metric.kind for metric in scenario.metrics)
    yield "primary", f"{scenario.primary} (measured: {measured})"
    yield "seed", str(scenario.seed)
    for notice in scenario.notices:
        yield "notice", notice


def _any_has(groups: list[list[str]], key: str) -> bool:
    return any(key in group for group in groups)


def _findings(tried: Trial) -> Iterator[tuple[str, str]]:
    from channelsim.display.decisions import bits, powers, threats

    yield "columns", ", ".join(tried.columns)
    yield from powers(tried.header, tried.arms)
    yield from threats(tried.header)
    verdicts = Counter(word or "none" for word in tried.columns["verdict"])
    counted = ", ".join(f"{word} {count}" for word, count in sorted(verdicts.items()))
    each = tried.transmissions // len(tried.arms)
    sent = "one message" if each == 1 else f"{each} messages"
    yield "tried", f"{sent} in each of {len(tried.arms)} arms; verdicts: {counted}"
    yield from bits(tried.header)


def _forecast(found: Estimate, scenario: Scenario) -> Iterator[tuple[str, str]]:
    yield "time", f"about {duration(found.seconds)} for {found.transmissions:,} transmissions"
    yield "ledger", f"about {size(found.ledger_bytes)}"
    measured = ", ".join(f"{block}: {rate:.0f}/s" for block, rate in sorted(found.rates.items()))
    own = scenario.block_rows
    advice = (
        f"{own} is a good choice here"
        if found.block_rows == own
        else (
            f"{found.block_rows} is {found.rates[found.block_rows] / found.rates[own]:.1f} times as"
            f" fast as {own} here; to use it: --set block_rows={found.block_rows}"
        )
    )
    yield "block_rows", f"{advice} ({measured})"


def _table(console: Any, title: str | None, rows: Iterator[tuple[str, str]]) -> None:
    if title is not None:
        console.print(printable(title), style="bold", markup=False)
    for name, text in rows:
        console.print(f"  {name:<11} {printable(text)}", markup=False)
