"""A scenario beside a file of the user's, with parts of his own (no tests in here)."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from channelsim.runs import run as campaign
from channelsim.runs.run import Run
from channelsim.scenario import Scenario
from channelsim.support.errors import InputError

HEAD = '''\
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from channelsim.contracts import records
from channelsim.contracts.parts import Detector, Metric, OpenFraction, Positive, Stage, part
from channelsim.contracts.adversary import Adversary, Budget


class Means(nn.Module):
    """Eight by eight means, clamped."""

    def encode(self, images):
        return F.avg_pool2d(images.clamp(0.3, 0.6), 4).flatten(1)

    def decode(self, latents):
        return F.interpolate(latents.reshape(len(latents), 1, 8, 8), scale_factor=4)


def marked(images):
    return (images[:, 0, 0, 0] * 255).round() == 251


def ok(signal):
    return np.full(len(signal), records.OK, dtype=object)


def apart(images, references):
    return (images - references).abs().flatten(1).mean(1)


'''
AWGN = {"kind": "awgn", "snr_db": 10}


def study(folder: Path, code: str, receivers: Any = None, **changes: Any) -> Path:
    """A scenario in ``folder`` beside a file of the user's; ``mine`` is the receiver by default."""
    (folder / "mine.py").write_text(HEAD + textwrap.dedent(code), encoding="utf-8")
    data = {
        "seed": 7,
        "block_rows": 8,
        "source": {"kind": "dataset", "name": "mnist5k", "count": 16},
        "path": [AWGN],
        "receivers": receivers or {"mine": {"codec": use("Means")}},
        "metrics": ["mse"],
        **changes,
    }
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return file


def corner_pictures(folder: Path) -> dict[str, Any]:
    """Noise to send, of which message 20 has a bright corner that no other picture has."""
    draw = np.random.default_rng(0)
    train, test = (draw.integers(1, 200, (n, 32, 32), dtype=np.uint8) for n in (64, 24))
    test[20, 0, 0] = 251
    np.savez(folder / "pictures.npz", train_images=train, test_images=test)
    return {"kind": "npz", "path": "pictures.npz", "layout": "nhw"}


def stage(name: str, cross: str, more: str = "") -> str:
    """The code of a stage whose method has this body."""
    return _part(name, "Stage", 'name: str = ""', more, "cross(self, signal, rows)", cross)


def adversary(name: str, perturb: str, more: str = "") -> str:
    declared = 'name: str = ""\nbudget: Budget'
    method = "perturb(self, signal, radius, rows, knowledge)"
    return _part(name, "Adversary", declared, more, method, perturb)


def detector(name: str, score: str, fit: str = "pass") -> str:
    """The code of a detector that keeps the mean latent, after the code of ``fit``."""
    remembers = _method("fit(self, latents)", f'{fit}\nreturn {{"mean": latents.mean(0)}}')
    declared = "false_alarm: OpenFraction = 0.25"
    return _part(name, "Detector", declared, remembers, "score(self, latents, state)", score)


def metric(name: str, measure: str, more: str = "", better: str = "False", kind: str = "") -> str:
    """The code of a metric; ``better``: whether higher is better."""
    declared = f"higher_is_better: ClassVar[bool] = {better}"
    return _part(name, "Metric", declared, more, "measure(self, images, references)", measure, kind)


def _part(
    name: str, base: str, declared: str, more: str, method: str, body: str, kind: str = ""
) -> str:
    kind = kind or name.lower()
    inside = [f'kind: ClassVar[str] = "{kind}"', declared, textwrap.dedent(more).strip("\n")]
    lines = "\n".join([*filter(None, inside), _method(method, body)])
    return f"@part\nclass {name}({base}):\n{textwrap.indent(lines, '    ')}\n\n"


def _method(head: str, body: str) -> str:
    return f"def {head}:\n{textwrap.indent(textwrap.dedent(body).strip(), '    ')}"


def use(name: str, /, **arguments: Any) -> dict[str, Any]:
    return {"use": f"./mine.py:{name}", **arguments}


def column(run: Run, name: str, receiver: str | None = None) -> np.ndarray:
    table = run.frame()
    return np.asarray(
        (table if receiver is None else table[table["receiver"] == receiver])[name], dtype=float
    )


def refused(file: Path) -> str:
    with pytest.raises(InputError) as error:
        Scenario.load(file)
    assert error.value.exit_code == 2
    return error.value.message


def stopped(file: Path, out: Path) -> str:
    """The error that ends an admitted run."""
    Scenario.load(file)
    with pytest.raises(InputError) as error:
        campaign.run(file, out=out)
    assert error.value.exit_code == 2
    return error.value.message


def line_of(code: str) -> int:
    """The line of mine.py that holds a text."""
    return (HEAD + textwrap.dedent(code))[: (HEAD + textwrap.dedent(code)).index("# here")].count(
        "\n"
    ) + 1
