"""Runs a scenario into a folder, or resumes an interrupted run.

A run's folder holds ``ledger.sqlite`` (the record), ``scenario.yaml`` (the scenario with every
default filled in), ``summary.txt`` and ``summary.csv`` (the findings, also of an unfinished run),
and the reports' pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from channelsim.analysis.closing import ending
from channelsim.contracts.records import ArmDone, Finished, LogEvent, Noted, Started, Ticked
from channelsim.contracts.run_header import RunHeader
from channelsim.ledger import Ledger, export
from channelsim.ledger.examination import examined
from channelsim.runs.budgets import assert_budgets
from channelsim.runs.cluster import ClusterWorkers
from channelsim.runs.resume import (
    begun_in_blocks,
    check_same_machine,
    check_same_parts,
    check_same_scenario,
    resume_command,
)
from channelsim.runs.run_folder import LEDGER, chosen_folder, write_scenario
from channelsim.runs.stop import until_asked_to_stop
from channelsim.runs.summary_files import write_summary
from channelsim.runs.workers import LocalWorkers
from channelsim.scenario import Scenario
from channelsim.signal_path.calibration import Paths
from channelsim.simulation.event_plane import simulate
from channelsim.simulation.header import threads_of
from channelsim.simulation.jobs import Computing
from channelsim.simulation.share import Share
from channelsim.simulation.worker import Brief
from channelsim.support.errors import InputError, Interrupted, MachineError

if TYPE_CHECKING:
    import pandas as pd

    from channelsim.analysis.short_summary import ShortSummary

MOST_WORKERS = 1024
Stamp = tuple[int, ...]  # identifies an unchanged file


@dataclass(frozen=True, slots=True)
class Run:
    """A run's folder and its results.

    ``was_finished``: the requested run was already finished, so nothing was computed.
    ``notices``: about how the run ended.
    """

    folder: Path
    was_finished: bool = False
    notices: tuple[str, ...] = ()
    # The summary from the run's end, valid as long as its ledger is unchanged.
    _found: tuple[Stamp, ShortSummary] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def open(cls, folder: Path | str) -> Run:
        """A run made earlier, finished or not.

        One that was killed between its last row and its closing is closed, see `ending`.
        """
        run = cls(Path(folder))
        return replace(run, notices=ending(run.folder / LEDGER).notices)

    def ledger(self) -> Ledger:
        """The record, for reading; use ``with run.ledger() as ledger:``."""
        return Ledger.open(self.folder / LEDGER)

    @contextmanager
    def _read(self) -> Iterator[Ledger]:
        """The record; an error inside is attributed to it if it is damaged."""
        with examined(self.folder / LEDGER), self.ledger() as ledger:
            yield ledger

    @property
    def finished(self) -> bool:
        """Whether the run is finished."""
        return ending(self.folder / LEDGER).finished_s is not None

    def header(self) -> dict[str, Any]:
        """The ledger's header of the run."""
        with self._read() as ledger:
            return dict(ledger.header().values)

    def frame(self) -> pd.DataFrame:
        """One row per transmission, as a pandas table: the flat view `transmissions`."""
        with self._read() as ledger:
            return export.frame(ledger)

    def summary(self) -> ShortSummary:
        """The best receivers, and all figures with intervals; its text is the short summary."""
        from channelsim.analysis.short_summary import ShortSummary
        from channelsim.analysis.summary import summarise

        if self._found is not None and self._found[0] == _stamp(self.folder):
            return self._found[1]
        with self._read() as ledger:
            return ShortSummary.made_of(summarise(ledger))


def run(
    scenario: Scenario | Mapping[str, Any] | Path | str,
    set: Mapping[str, Any] | None = None,
    seed: int | None = None,
    out: Path | str | None = None,
    resume: bool = False,
    data_root: Path | str | None = None,
    on_event: Callable[[LogEvent], None] | None = None,
    mixed: bool = False,
    on_folder: Callable[[Path], None] | None = None,
    workers: int = 0,
    part: str | None = None,
    dask: str | None = None,
) -> Run:
    """Simulate a scenario and record it in a folder.

    ``set``: dotted key → value, overriding the file's. ``seed``: in place of the file's.
    ``out``: the folder (default: ``runs/<scenario>-<seed>-<n>``, the first free n). ``resume``: go
    on with the run in ``out`` (default: the newest of this scenario), computing only what is
    missing; a finished run is returned as it is. ``data_root``: folder of the data sets.
    ``on_event``: called with every event. ``on_folder``: called with the folder, before the first
    event. ``mixed``: resume a run although another kind of machine or other versions began it.
    ``workers``: how many processes compute, each with one thread; 0: this one, with all its
    threads. It changes no result. ``part``: ``"K/N"``, to compute the K-th of N shares of the arms
    and leave the run unfinished, see `merge`. ``dask``: the address of a Dask scheduler whose
    workers compute, or its scheduler file.

    Ctrl-C and SIGTERM end the run at the next block, with everything recorded, and raise
    `Interrupted`; a second one stops at once. Either way the folder then holds the summary.
    """
    share = None if part is None else Share.parse(part)
    if workers < 0 or workers > MOST_WORKERS:
        raise InputError(f"workers: {workers} is not between 0 and {MOST_WORKERS}")
    if workers and dask:
        raise InputError("--workers and --dask exclude each other: a cluster has its own workers")
    loaded = Scenario.load(scenario, set=set, seed=seed, data_root=data_root)
    existed = out is not None and Path(out).exists()
    folder = chosen_folder(loaded, None if out is None else Path(out), resume)
    if on_folder is not None:
        on_folder(folder)
    path = folder / LEDGER
    if path.exists():
        with examined(path), Ledger.open(path) as ledger:
            there = begun_in_blocks(ledger, loaded)
            if there is not None:
                blocks = {**(set or {}), "block_rows": there}
                loaded = Scenario.load(scenario, set=blocks, seed=seed, data_root=data_root)
            check_same_scenario(ledger, loaded)
            finished = ledger.header().finished_s
            if finished is None:
                check_same_parts(ledger, loaded)
        if finished is not None:
            if on_event is not None:
                on_event(Noted("info", f"{folder}: this run is finished already", finished))
            return _summed_up(Run(folder, was_finished=True))
    again = resume_command(scenario, set, seed, data_root, folder, workers, part, dask)
    try:
        _record(loaded, folder, on_event or _nothing, mixed, again, workers or dask, share)
    except BaseException as error:
        # A run that recorded nothing leaves no folder behind.
        if not existed and not path.exists():
            with suppress(OSError):
                (folder / f"{LEDGER}.lock").unlink(missing_ok=True)
                folder.rmdir()  # removes only an empty one
        if isinstance(error, Interrupted):
            # The user who interrupts waits for the command to resume, not for this.
            with suppress(Exception, KeyboardInterrupt):
                _summed_up(Run(folder))
        raise
    return _summed_up(Run(folder))


def _summed_up(run: Run) -> Run:
    """The run with its summary, which is also written to its folder."""
    found = run.summary()
    write_summary(run.folder, found)
    return replace(run, _found=(_stamp(run.folder), found))


def _stamp(folder: Path) -> Stamp:
    try:
        state = (folder / LEDGER).stat()
    except OSError:
        return ()
    return state.st_ino, state.st_size, state.st_mtime_ns


def _record(
    scenario: Scenario,
    folder: Path,
    on_event: Callable[[LogEvent], None],
    mixed: bool,
    again: str,
    workers: int | str | None,
    share: Share | None,
) -> None:
    path = folder / LEDGER
    finished, state, reached_s = False, "", 0.0
    with until_asked_to_stop() as asked, ExitStack() as stack:
        ledger = stack.enter_context(Ledger.open(path, write=True)) if path.exists() else None
        if ledger is not None:
            stack.enter_context(threads_of(ledger.header()))
        hands: LocalWorkers | ClusterWorkers | None = None
        if workers:
            if isinstance(workers, int):
                hands = stack.enter_context(LocalWorkers(workers))
            else:
                hands = stack.enter_context(ClusterWorkers(workers))

        def handed(header: RunHeader, paths: Paths) -> Computing:
            assert hands is not None
            hands.prepare(Brief.of(scenario, header, paths, mixed))
            return hands

        # A new run has no memo: look-ups would cost time and find nothing.
        for event in simulate(
            scenario,
            memo=ledger,
            stop=asked,
            prepare=on_event,
            workers=handed if hands else None,
            share=share,
        ):
            if isinstance(event, Started):
                if ledger is None:
                    ledger = stack.enter_context(Ledger.create(path, event))
                else:
                    check_same_machine(ledger, event, mixed)
                write_scenario(scenario, folder)
            if ledger is None:
                raise MachineError(f"{folder}: the simulation did not begin with Started (a bug)")
            if isinstance(event, Finished):
                _close_arms(ledger, scenario, on_event)
            ledger.write(event)
            on_event(event)
            finished = isinstance(event, Finished)
            reached_s = event.sim_s if isinstance(event, Ticked) else reached_s
        if ledger is not None:
            if share is not None and not asked():
                before_s = ledger.raw_header().ended_s or 0.0
                ledger.set_header({"ended": max(before_s, reached_s)})
                assert_budgets(ledger, scenario.arms, ledger.header().calibration)
            ledger.commit()
            total = ledger.header().total
            state = f"; {ledger.settled()} of {total} transmissions are recorded"
            state += f", {ledger.computed()} attempts are computed"
    if not finished and (share is None or asked()):
        if not asked():
            raise MachineError(f"{folder}: the simulation ended early without a reason (a bug)")
        raise Interrupted(f"Interrupted{state}. Go on with: {again}")


def _close_arms(ledger: Ledger, scenario: Scenario, on_event: Callable[[LogEvent], None]) -> None:
    """Close every arm with its verdict, read from all its rows, also those of earlier sessions."""
    from channelsim.analysis.verdicts import arm_verdicts

    ledger.commit()
    assert_budgets(ledger, scenario.arms, ledger.header().calibration)
    for arm, verdict in list(arm_verdicts(ledger)):
        done = ArmDone(arm, verdict)
        ledger.write(done)
        on_event(done)


def _nothing(event: LogEvent) -> None:
    """Ignore the event."""
