"""Parts passed as Python objects are tried like those that a file names.

They come in a mapping, by ``set``, or inside a `Scenario` constructed directly.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

import channelsim
from channelsim import channels
from channelsim.codecs.module import Module
from channelsim.contracts import records
from channelsim.contracts.adversary import Adversary, Budget
from channelsim.contracts.parts import Detector, Metric, OpenFraction, Stage, part
from channelsim.contracts.rows import Knowledge, Rows
from channelsim.scenario import Scenario
from channelsim.scenario.trials import TrialImages
from channelsim.support.errors import InputError

AWGN = {"kind": "awgn", "snr_db": 10}


class Means(nn.Module):
    """Eight by eight means; ``how`` spoils them."""

    def __init__(self, how: Callable[[Tensor], Tensor] = lambda z: z) -> None:
        super().__init__()
        self.how = how

    def encode(self, images: Tensor) -> Tensor:
        return self.how(avg_pool2d(images, 4).flatten(1))

    def decode(self, latents: Tensor) -> Tensor:
        return interpolate(latents.reshape(len(latents), 1, 8, 8), scale_factor=4)


class Blunt(Means):
    """A codec without a gradient."""

    def decode(self, latents: Tensor) -> Tensor:
        return super().decode(latents.detach())


class Coupled(Means):
    def encode(self, images: Tensor) -> Tensor:
        latents = super().encode(images)
        return latents - latents.mean(0)


class Clamped(Means):
    def encode(self, images: Tensor) -> Tensor:
        return super().encode(images.clamp(0.3, 0.6))


class Writing(Means):
    def encode(self, images: Tensor) -> Tensor:
        return super().encode(images.clamp_(0.3, 0.6))


@part
class Bend(Stage):
    kind: ClassVar[str] = "bend"
    name: str = ""

    def cross(self, signal: Tensor, rows: Rows) -> Tensor:
        return signal - signal.mean(0)


@part
class Crowd(Adversary):
    kind: ClassVar[str] = "crowd"
    name: str = ""
    budget: Budget

    def perturb(
        self, signal: Tensor, radius: Tensor, rows: Rows, knowledge: Knowledge
    ) -> tuple[Tensor, np.ndarray]:
        verdict = np.full(len(signal), records.OK, dtype=object)
        return signal.mean(0).expand_as(signal) - signal, verdict


@part
class Judge(Detector):
    kind: ClassVar[str] = "judge"
    false_alarm: OpenFraction = 0.05

    def fit(self, latents: Tensor) -> dict[str, Tensor]:
        return {"mean": latents.mean(0)}

    def score(self, latents: Tensor, state: Mapping[str, Tensor]) -> Tensor:
        return (latents - latents.mean(0)).square().sum(1)


@part
class Rounded(Metric):
    kind: ClassVar[str] = "rounded"
    higher_is_better: ClassVar[bool] = False

    def measure(self, images: Tensor, references: Tensor) -> Tensor:
        return (images.mul_(100).round_() / 100 - references).abs().flatten(1).mean(1)


@part
class Undirected(Metric):
    kind: ClassVar[str] = "undirected"

    def measure(self, images: Tensor, references: Tensor) -> Tensor:
        return (images - references).abs().flatten(1).mean(1)


def mapping(**changes: Any) -> dict[str, Any]:
    return {
        "seed": 7,
        "block_rows": 8,
        "source": {"kind": "dataset", "name": "mnist5k", "count": 16},
        "path": [AWGN],
        "receivers": {"mine": {"codec": Means()}},
        "metrics": ["mse"],
        **changes,
    }


CROWD = Crowd(budget=Budget(epsilon=0.1))
SIZED = Module(module=Coupled(), image_shape=(1, 32, 32), latent_size=64)
PGD = {"kind": "pgd", "goal": {"kind": "damage"}, "budget": {"epsilon": 0.1}, "steps": 2}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"path": [Bend(), AWGN]}, "path[0]: Bend.cross couples rows"),
    ({"path": [CROWD, AWGN]}, "path[0]: Crowd.perturb couples rows"),
    (
        {"receivers": {"mine": {"codec": Means(), "detector": Judge()}}},
        "receivers.mine.detector: Judge.score couples rows",
    ),
    ({"metrics": ["mse", Undirected()]}, "metrics[1]: Undirected does not say which values are"),
    (
        {"receivers": {"mine": {"codec": Coupled()}}},
        "receivers.mine.codec: Coupled.encode couples rows",
    ),
    ({"receivers": {"mine": {"codec": SIZED}}}, "receivers.mine.codec: Coupled.encode couples"),
    (
        {"receivers": {"mine": {"codec": Blunt()}}, "path": [PGD]},
        "receivers.mine.codec: Blunt.decode is not differentiable (autograd sees no way",
    ),
]


@pytest.mark.parametrize(("changes", "said"), REFUSED)
def test_a_part_in_a_mapping_is_tried(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        Scenario.load(mapping(**changes))
    assert said in error.value.message
    assert "use" not in error.value.message.split(": ")[0]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("path.0", Bend(), "Bend.cross couples rows"),
        ("receivers.mine.codec", Coupled(), "Coupled.encode couples rows"),
        ("receivers.mine.detector", Judge(), "Judge.score couples rows"),
        ("metrics", [Undirected()], "Undirected does not say which values are better"),
        ("sweep", {"path.0": [Bend(), AWGN]}, "Bend.cross couples rows"),
    ],
)
def test_a_part_that_set_brings_is_tried(
    tmp_path: Path, key: str, value: object, said: str
) -> None:
    with pytest.raises(InputError) as error:
        channelsim.run(mapping(), set={key: value}, out=tmp_path / "run")
    assert said in error.value.message
    assert not (tmp_path / "run").exists()


def changed(scenario: Scenario, **parts: Any) -> Scenario:
    """A scenario with other parts in its only arm."""
    (arm,) = scenario.arms
    inner = {name: parts.pop(name) for name in ("codec", "detector") if name in parts}
    receiver = dataclasses.replace(arm.receiver, **inner)
    metrics = parts.pop("metrics", scenario.metrics)
    arm = dataclasses.replace(arm, receiver=receiver, metrics=metrics, **parts)
    return dataclasses.replace(scenario, arms=(arm,), metrics=metrics)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"path": (Bend(),)}, "path[0]: Bend.cross couples rows"),
        ({"path": (CROWD,)}, "path[0]: Crowd.perturb couples rows"),
        ({"codec": SIZED}, "receivers.mine.codec: Coupled.encode couples rows"),
        ({"detector": Judge()}, "receivers.mine.detector: Judge.score couples rows"),
        ({"metrics": (Undirected(),)}, "metrics[0]: Undirected does not say which values are"),
    ],
)
def test_a_part_in_a_scenario_that_was_put_together_is_tried(
    parts: dict[str, Any], said: str
) -> None:
    scenario = Scenario.load(mapping())
    with pytest.raises(InputError) as error:
        changed(scenario, **parts)
    assert said in error.value.message


def test_what_was_tried_once_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from channelsim.scenario import admission

    scenario = Scenario.load(mapping(metrics=["mse", Rounded()]))

    def never(*_: Any) -> Any:
        raise AssertionError("tried again")

    monkeypatch.setattr(admission, "admit", never)
    monkeypatch.setattr(admission, "admit_metric", never)
    other = dataclasses.replace(scenario, title="Another title")
    assert other.notices == scenario.notices
    assert Scenario.load(other) is other


@pytest.mark.parametrize("way", ["mapping", "put together"])
def test_what_should_be_known_of_a_part_from_python_is_among_the_events(
    tmp_path: Path, way: str
) -> None:
    said = ["Writing.encode writes into its argument images", "Rounded.measure writes into its"]
    receivers = {"mine": {"codec": Writing()}}
    if way == "mapping":
        scenario = Scenario.load(mapping(receivers=receivers, metrics=["mse", Rounded()]))
    else:
        codec = Module(module=Writing(), latent_size=64)
        scenario = Scenario.load(mapping())
        scenario = changed(scenario, codec=codec, metrics=(*scenario.metrics, Rounded()))
    run = channelsim.run(scenario, out=tmp_path / "run")
    with run.ledger() as ledger:
        events = " ".join(text for (text,) in ledger.rows("SELECT text FROM event", ()))
    assert all(sentence in events for sentence in said)
    twin = channelsim.run(mapping(receivers={"mine": {"codec": Clamped()}}), out=tmp_path / "twin")
    for name in ("mse_source", "mse_clean", "snr_measured_db"):
        assert run.frame()[name].equals(twin.frame()[name])


def test_what_a_part_from_python_computes_is_in_the_header_and_compared(tmp_path: Path) -> None:
    @part
    class Gain(Stage):
        kind: ClassVar[str] = "gain"
        name: str = ""

        def cross(self, signal: Tensor, rows: Rows) -> Tensor:
            return signal * FACTOR[0]

    FACTOR = [1.0]
    given = mapping(path=[Gain(), AWGN])

    def stop_at_once(event: object) -> None:
        if isinstance(event, records.AttemptsDone):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        channelsim.run(given, out=tmp_path / "run", on_event=stop_at_once)
    header = channelsim.Run.open(tmp_path / "run").header()
    assert set(header["parts"]) == {"receiver mine", "stage gain"}
    FACTOR[0] = 0.5
    with pytest.raises(InputError, match="stage gain: what its cross answers"):
        channelsim.run(given, out=tmp_path / "run", resume=True)
    FACTOR[0] = 1.0
    assert channelsim.run(given, out=tmp_path / "run", resume=True).finished


def test_parts_of_the_package_cost_no_second_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = Scenario.load(mapping(receivers={"kld": {"codec": "kld-vae"}}))

    def never(*_: Any) -> Any:
        raise AssertionError("images were read for a trial")

    monkeypatch.setattr(TrialImages, "of", never)
    other = changed(scenario, path=(channels.AWGN(snr_db=20.0),))
    assert other.notices == scenario.notices
