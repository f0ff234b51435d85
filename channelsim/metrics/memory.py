"""Features of a batch, computed once for all the comparisons of one block of a run.

A block measures one batch against three references, and those against each other: without this,
each would go through a metric's trunk again for every pair.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from torch import Tensor

MOST_BYTES = 2**29  # project's choice: five batches of 256 images 32×32 in the features of rfd


@dataclass(slots=True)
class _Entry:
    owner: object  # kept alive, so that its id is not reused
    images: weakref.ref[Tensor]
    version: int
    found: Any


@dataclass(slots=True)
class _Block:
    entries: dict[tuple[int, int], _Entry] = field(default_factory=dict)

    def get(self, owner: object, images: Tensor) -> Any:
        entry = self.entries.get((id(owner), id(images)))
        if entry is None or entry.images() is not images or entry.version != images._version:
            return None
        return entry.found

    def put(self, owner: object, images: Tensor, found: Found) -> None:
        if found.nbytes > MOST_BYTES:
            return
        key = id(owner), id(images)
        self.entries.pop(key, None)
        while sum(e.found.nbytes for e in self.entries.values()) + found.nbytes > MOST_BYTES:
            self.entries.pop(next(iter(self.entries)))

        def forget(gone: weakref.ref[Tensor]) -> None:
            entry = self.entries.get(key)
            if entry is not None and entry.images is gone:
                del self.entries[key]

        self.entries[key] = _Entry(owner, weakref.ref(images, forget), images._version, found)


_OPEN: ContextVar[_Block | None] = ContextVar("_OPEN", default=None)


@contextmanager
def remembering() -> Iterator[None]:
    """Remember features until the end of this context; outside one nothing is remembered.

    To be opened only where no code changes a batch without torch's notice (through ``tensor.data``
    or a shared numpy array): such a change cannot be detected. Changes in place that torch counts
    are.
    """
    token = _OPEN.set(_Block())
    try:
        yield
    finally:
        _OPEN.reset(token)


class Found(Protocol):
    """What may be remembered: a tensor, or what behaves like one."""

    @property
    def nbytes(self) -> int:
        """The memory that it takes."""
        ...

    @property
    def requires_grad(self) -> bool:
        """Whether it carries a gradient."""
        ...

    def is_inference(self) -> bool:
        """Whether it comes from inference mode."""
        ...


F = TypeVar("F", bound=Found)


def remembered(owner: object, images: Tensor, compute: Callable[[Tensor], F]) -> F:
    """``compute(images)``, or its earlier result for the same ``owner`` within `remembering`.

    Results live as long as their images, at most `MOST_BYTES` of them, the oldest leaving first.
    Tensors that carry a gradient or come from inference mode are never remembered.
    """
    block = _OPEN.get()
    if block is None or images.requires_grad or images.is_inference():
        return compute(images)
    known: F | None = block.get(owner, images)
    if known is not None:
        return known
    found = compute(images)
    if not (found.requires_grad or found.is_inference()):
        block.put(owner, images, found)
    return found
