"""The device that computes: the CPU, or one GPU."""

from __future__ import annotations

import os
import platform
import re

import torch

from channelsim.support.errors import InputError

AUTO = "auto"
_KNOWN = re.compile(r"auto|cpu|cuda(:\d{1,3})?")


def fault(name: object) -> str:
    """Why this names no device, or an empty text; whether there is one is not asked."""
    if isinstance(name, str) and _KNOWN.fullmatch(name):
        return ""
    return f"must be auto, cpu, cuda or cuda:N (the N-th GPU, from 0), was given {name!r:.60}"


def chosen(name: str) -> torch.device:
    """The device of a name; ``auto`` is a GPU where there is one.

    `InputError` for a GPU that is not here. A GPU is told to round as float32 does (no TF32) and to
    choose kernels that give the same bits again.
    """
    if reason := fault(name):
        raise InputError(f"device: {reason}")
    if name == "cpu" or (name == AUTO and not torch.cuda.is_available()):
        return torch.device("cpu")
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    device = torch.device("cuda", 0 if name == AUTO else torch.device(name).index or 0)
    if (device.index or 0) >= there:
        count = f"{there or 'no'} GPU{'' if there == 1 else 's'}"
        raise InputError(
            f"device: {name} is not here: torch finds {count} on this machine; use device: cpu"
        )
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    return device


def there_or_auto(name: str) -> str:
    """A device that another machine used, or ``auto`` where this one has none of the name."""
    try:
        return str(chosen(name))
    except InputError:
        return AUTO


def described(device: torch.device) -> str:
    """What decides its bits: a GPU's model, or the kind of processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return platform.machine()
