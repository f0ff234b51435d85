"""The command ``channelsim train``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from channelsim.training.several import Task
    from channelsim.training.train import Progress, TrainedResult

_EVERY_S = 5.0  # between two lines without a terminal; project's choice


def train(
    *,
    recipes: list[str],
    out: Path | None,
    data_root: Path | None,
    seed: int | None,
    seeds: int,
    workers: int,
    quiet: bool,
) -> None:
    """Train with progress on standard error; the cards' figures on standard output."""
    from channelsim.display.console import StandardConsole
    from channelsim.training import train as training

    console, aside = StandardConsole(), StandardConsole(error=True)
    files = [Path(recipe) for recipe in recipes]
    if workers:
        _side_by_side(training.tasks_of(files, seeds, out, seed), data_root, workers, aside, quiet)
    for file in files:
        folder = out if out is None or len(files) == 1 else out / file.stem
        with _progress(aside, quiet) as show:
            if seeds:
                result = training.train_seeds(file, seeds, folder, data_root, show, seed)
            else:
                result = training.train(
                    file, out=folder, data_root=data_root, on_progress=show, seed=seed
                )
        for line in _told(result, quiet, bool(workers)):
            console.print(line, markup=False, soft_wrap=True)


def _told(result: TrainedResult, quiet: bool, just_now: bool) -> Iterator[str]:
    if quiet:
        yield str(result.weights)
        return
    where = json.dumps(str(result.weights.resolve()))
    yield from _done(result.card, result.already_done and not just_now)
    yield f"weights   {result.weights}"
    yield f"use it    {_use(result.card, where)}"


def _side_by_side(
    tasks: list[Task], data_root: Path | None, workers: int, console: Console, quiet: bool
) -> None:
    """All trainings in processes of their own; a line for each that is under way."""
    from channelsim.training.progress import stop_signals
    from channelsim.training.several import train_all

    with stop_signals() as stop, _under_way(console, quiet) as show:
        for number, task in enumerate(train_all(tasks, data_root, workers, stop, show), 1):
            if not quiet:
                console.print(
                    f"{number}/{len(tasks)} trained: {task.name}", markup=False, soft_wrap=True
                )


@contextmanager
def _under_way(
    console: Console, quiet: bool
) -> Iterator[Callable[[Mapping[Task, str]], None] | None]:
    if quiet:
        yield None
        return
    if not console.is_terminal:
        yield _said_at_intervals(console)
        return
    from rich.live import Live
    from rich.text import Text

    with Live(console=console, refresh_per_second=4, transient=True) as live:

        def show(under: Mapping[Task, str]) -> None:
            lines = [f"{task.name}: {said}" for task, said in under.items()]
            live.update(Text("\n".join(lines), no_wrap=True, overflow="ellipsis"))

        yield show


def _said_at_intervals(console: Console) -> Callable[[Mapping[Task, str]], None]:
    import time

    last = [time.monotonic()]

    def show(under: Mapping[Task, str]) -> None:
        if time.monotonic() - last[0] < _EVERY_S:
            return
        last[0] = time.monotonic()
        for task, said in under.items():
            if said:
                console.print(f"{task.name}: {said}", markup=False, soft_wrap=True)

    return show


def _use(card: Mapping[str, Any], where: str) -> str:
    if "classes" in card:
        return f"metrics: [{{kind: dfd, weights: {where}}}, {{kind: label, weights: {where}}}]"
    return f"codec: {{kind: trained, weights: {where}}}"


def _done(card: Mapping[str, Any], already: bool) -> Iterator[str]:
    yield "This recipe was trained already." if already else f"Trained {card['name']}."
    for key, value in card.items():
        if isinstance(value, float):
            yield f"  {key:<33} {value:.6g}"
    for key, value in (card.get("spread") or {}).items():
        if isinstance(value, dict):
            low, high = value["within"]
            spread = f"{value['mean']:.4g} ± {value['sd']:.2g}; one more: {low:.4g} to {high:.4g}"
            yield f"  {f'over seeds: {key}':<33} {spread}"
    for group in ("generation", "disentanglement"):
        for key, value in (card.get(group) or {}).items():
            if isinstance(value, float):
                yield f"  {f'{group}: {key}':<33} {value:.6g}"


@contextmanager
def _progress(console: Console, quiet: bool) -> Iterator[Callable[[Progress], None] | None]:
    if quiet:
        yield None
    elif console.is_terminal:
        with _bar(console) as show:
            yield show
    else:
        yield _lines(console)


@contextmanager
def _bar(console: Console) -> Iterator[Callable[[Progress], None]]:
    """One line that rewrites itself: epoch, bar, time left, losses."""
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar
    from rich.table import Column

    whole = Column(no_wrap=True, min_width=8)  # on a narrow terminal the losses are cut
    epoch = TextColumn("epoch {task.fields[epoch]}", table_column=whole)
    left = TimeRemainingColumn(table_column=whole)
    losses = TextColumn(
        "{task.fields[losses]}", style="cyan", table_column=Column(no_wrap=True, ratio=1)
    )
    with Bar(epoch, BarColumn(12), left, losses, console=console, expand=True) as bar:
        task = bar.add_task("", total=None, epoch="1", losses="")

        def show(now: Progress) -> None:
            bar.update(
                task,
                completed=now.step,
                total=now.steps_total,
                epoch=f"{now.epoch}/{now.epochs}",
                losses=f"{_losses(now)}  {now.samples_per_s:,.0f} images/s",
            )

        yield show


def _lines(console: Console) -> Callable[[Progress], None]:
    """A line at intervals, for a file or a log."""
    import time

    last = [time.monotonic()]

    def show(now: Progress) -> None:
        if time.monotonic() - last[0] < _EVERY_S and now.step < now.steps_total:
            return
        last[0] = time.monotonic()
        console.print(
            f"epoch {now.epoch}/{now.epochs}, step {now.step:,}/{now.steps_total:,}"
            f" ({now.samples_per_s:,.0f} images/s): {_losses(now)}",
            markup=False,
            soft_wrap=True,
        )

    return show


def _losses(now: Progress) -> str:
    shown = dict(now.losses)
    if now.validation is not None:
        shown["held out"] = now.validation
    return "  ".join(f"{name} {value:.4g}" for name, value in shown.items())
