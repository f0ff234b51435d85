"""Freed memory is kept for the next block of rows, where the C library can be told to."""

from __future__ import annotations

import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import torch
from channelsim.support.allocator import keep_freed_memory

told = sys.argv[1] == "keep" and keep_freed_memory()
assert told == (sys.argv[1] == "keep") or print("cannot")

def block():
    for _ in range(4):  # layers, freed together
        layers = [torch.ones(2**21) for _ in range(8)]

block()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    block()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_a_block_of_rows_asks_the_system_for_no_fresh_pages() -> None:
    def faults(how: str) -> int:
        command = [sys.executable, "-c", FAULTS, how]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        if "cannot" in said:
            pytest.skip("this C library cannot be told")
        return int(said)

    left = faults("leave")
    assert left > 10_000, "else there is nothing to spare"
    # A system short of memory may take kept pages away, and a slow run is exposed to it for longer.
    assert any(faults("keep") < 0.1 * left for _ in range(5))
