"""The scales of metrics: one table for readers of a ledger, checked against the metrics."""

from __future__ import annotations

import pytest

from channelsim.contracts.scales import Scale, declared, scale_of
from channelsim.metrics import METRICS


@pytest.mark.parametrize("name", list(METRICS))
def test_a_ledgers_reader_knows_what_every_metric_declares(name: str) -> None:
    assert scale_of(name) == declared(name, METRICS[name]())


def test_of_an_unknown_metric_nothing_is_claimed() -> None:
    assert scale_of("of_a_user") == Scale(name="of_a_user")
    assert not scale_of("of_a_user").damaging
