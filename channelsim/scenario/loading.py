"""Loads a file or a mapping into the fields of a `Scenario`, with all errors at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from channelsim.adversaries import adversary_notices
from channelsim.channels import memory_notices
from channelsim.channels import notices as path_notices
from channelsim.contracts.goal import goal_of
from channelsim.contracts.parts import Metric
from channelsim.link.link import notices
from channelsim.scenario.arm import Arm
from channelsim.scenario.arms import ArmBuilder
from channelsim.scenario.assembly import Workshop
from channelsim.scenario.extending import read_scenario, without_anchors
from channelsim.scenario.overrides import Overrides
from channelsim.scenario.path_rules import shared_path_notices
from channelsim.scenario.resolved import Resolver
from channelsim.scenario.scenario_keys import ScenarioKeys, labels_of, name_fault
from channelsim.scenario.skeleton import OF_SIGNALS, Skeleton, read_skeleton
from channelsim.scenario.sweep import read_sweep
from channelsim.scenario.waiting import default_block_rows
from channelsim.scenario.written_out import digest, loadable
from channelsim.support.errors import InputError
from channelsim.support.problems import Origins, Problems, Where, shown
from channelsim.support.yaml_lines import half_character


def load(
    given: str | Path | Mapping[str, Any],
    settings: dict[str, Any],
    seed: int | None,
    data_root: Path | None = None,
) -> dict[str, Any]:
    """The fields of a `Scenario`, or one `InputError`."""
    if isinstance(given, Mapping):
        path, folder, text = None, None, None
        if "extends" in given:
            raise InputError("scenario: extends: only a scenario file can extend another")
        data, origins = _from_python(without_anchors(given)), Origins("scenario", {})
    else:
        path = Path(given)
        folder = path.absolute().parent
        data, origins, text = read_scenario(path)
    problems = Problems(origins)
    if not isinstance(data, Mapping):
        found = "is empty" if data is None else f"holds {type(data).__name__}"
        raise InputError(f"{path or 'scenario'}: {found}; a scenario is a mapping (title: …)")

    changed = Overrides(dict(data), origins, problems, folder)
    changed.apply(settings, seed)
    skeleton, broken, faults = read_skeleton(changed.data)
    for fault in faults:
        problems.add(fault.where, fault.text)
    title = skeleton.title or (path.stem if path else "untitled")
    skeleton = skeleton.model_copy(update={"title": title})

    workshop = Workshop(folder, data_root)
    source = None if "source" in broken else _one(workshop, "source", skeleton.source, problems)
    workshop.source = source
    of_signals = source is not None and source.sampling is not None
    if of_signals and "metrics" not in skeleton.model_fields_set:
        skeleton = skeleton.model_copy(update={"metrics": [*OF_SIGNALS]})
    metrics = _metrics(skeleton, workshop, problems)
    _check_primary(skeleton, metrics, problems)
    _check_names(skeleton, broken, folder, problems)
    keys = ScenarioKeys(changed.data, folder)
    sweep = read_sweep(skeleton.sweep, skeleton.zip, keys, problems)
    builder = ArmBuilder(skeleton, sweep, workshop, problems)
    arms = builder.arms(metrics, broken)
    _check_success(arms, metrics, problems)
    problems.raise_if_any()
    assert source is not None, "what was wrong with it was said"

    numbered = [arm for point in arms.values() for arm in point.values()]
    block_rows = skeleton.block_rows or default_block_rows(numbered)
    resolver = Resolver(workshop.foreign)
    described = resolver.scenario(
        skeleton.model_copy(update={"block_rows": block_rows}), source, metrics, sweep, arms
    )
    resolved = loadable(described)
    return {
        "title": title,
        "seed": skeleton.seed,
        "source": source,
        "arms": tuple(sorted(numbered, key=lambda arm: arm.number)),
        "metrics": metrics,
        "control": skeleton.control,
        "block_rows": block_rows,
        "max_pending": skeleton.max_pending,
        "images": skeleton.images,
        "device": skeleton.device,
        "swept_keys": tuple(one.key for one in sweep.keys),
        "receivers": tuple(skeleton.receivers),
        "written": text if text is not None else _canonical(resolved),
        "resolved": resolved,
        "hash": digest(described),
        "path": path,
        "default_blocks": skeleton.block_rows is None,
        "files": workshop.files,
        "origins": {
            part: built.origin[0] for part, built in workshop.foreign.items() if built.origin
        },
        "notices": (
            *source.notices,
            *workshop.notices,
            *_link_notices(numbered),
            *_path_notices(numbered),
            *shared_path_notices(arm.path for arm in numbered),
            *_timed_notices(numbered, source, skeleton),
        ),
    }


def _link_notices(arms: list[Arm]) -> tuple[str, ...]:
    return notices([(arm.link, arm.receiver.codec.latent_size) for arm in arms])


def _path_notices(arms: list[Arm]) -> tuple[str, ...]:
    return path_notices([arm.path for arm in arms])


def _timed_notices(arms: list[Arm], source: Any, skeleton: Skeleton) -> tuple[str, ...]:
    times = source.arrival_times(skeleton.seed)
    span_s = float(times[0]), float(times[-1])
    met = memory_notices(
        [(arm.path, 1.0 / arm.link.symbol_rate_hz) for arm in arms],
        [arm.link.spacing_s(arm.receiver.codec.latent_size) for arm in arms],
        times,
        min(len(times), getattr(source, "length", len(times))),
        any(arm.link.contended for arm in arms),
    )
    return met + adversary_notices([arm.path for arm in arms], skeleton.control, span_s)


def _from_python(value: Any, depth: int = 0) -> Any:
    """Python values in the types that a file holds; parts stay as they are."""
    if depth > 50:
        raise InputError("scenario: nested too deeply")
    if isinstance(value, Mapping):
        return {_whole(key): _from_python(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple | range):
        return [_from_python(inner, depth + 1) for inner in value]
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return _whole(str(value) if isinstance(value, Path) else value)


def _whole(value: Any) -> Any:
    """The value itself; refuses a text that no file could hold."""
    if isinstance(value, str) and (fault := half_character(value)):
        raise InputError(f"scenario: {shown(value)} {fault}")
    return value


def _canonical(resolved: dict[str, Any]) -> str:
    return yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True)


def _one(workshop: Workshop, slot: str, given: Any, problems: Problems) -> Any:
    built = workshop.build(slot, given)
    for fault in built.faults:
        problems.add((slot, *fault.where), fault.text)
    return built.part


def _check_success(
    arms: Mapping[Any, Mapping[str, Arm]], metrics: tuple[Metric, ...], problems: Problems
) -> None:
    """Check that the metric of a goal's criterion is measured."""
    known = {metric.kind for metric in metrics}
    for arm in (arm for point in arms.values() for arm in point.values()):
        for index, stage in arm.path.by_place.items():
            goal = goal_of(stage)
            success = getattr(goal, "success", None)
            if goal is None or success is None or success.metric(goal.loss) in known:
                continue
            wanted = success.metric(goal.loss)
            problems.add(
                ("path", index, "goal", "success"),
                f"is read from the metric {wanted}, which is not measured; add {wanted} to metrics",
            )
            return


def _metrics(skeleton: Skeleton, workshop: Workshop, problems: Problems) -> tuple[Metric, ...]:
    found: dict[str, Metric] = {}
    for index, given in enumerate(skeleton.metrics):
        built = workshop.build("metric", given)
        for fault in built.faults:
            problems.add(("metrics", index, *fault.where), fault.text)
        if built.part is None:
            continue
        if built.part.kind in found:
            problems.add(("metrics", index), f"{built.part.kind} is listed twice; remove one")
        found[built.part.kind] = built.part
    return tuple(found.values())


def _check_primary(skeleton: Skeleton, metrics: tuple[Metric, ...], problems: Problems) -> None:
    names = [metric.kind for metric in metrics]
    if skeleton.primary is None or skeleton.primary in names or len(names) < len(skeleton.metrics):
        return  # a faulty metric is reported at its own place
    problems.add(
        ("primary",),
        f"{shown(skeleton.primary)} is no metric of this run; name one of {', '.join(names)}, or"
        " list it under metrics",
    )


def _check_names(
    skeleton: Skeleton, broken: set[str], folder: Path | None, problems: Problems
) -> None:
    """Check that labels and receivers are unique in the name space of dotted keys."""
    taken: dict[str, str] = {}
    named: list[tuple[Where, str]] = [
        (("path", i), label) for i, label in enumerate(labels_of(skeleton.path, folder)) if label
    ]
    if "receivers" not in broken:
        named += [(("receivers", name), name) for name in skeleton.receivers]
    for where, name in named:
        stage = where[0] == "path"
        what, place = ("stage", f"path[{where[1]}]") if stage else ("receiver", f"receiver {name}")
        if fault := name_fault(name, what):
            problems.add(where, fault)
        elif name in taken:
            hint = "give one of them a name of its own (name: …)" if stage else "rename one of them"
            problems.add(where, f"the name {name!r} is used by {taken[name]} too; {hint}")
        taken.setdefault(name, place)
