"""Keys: (arm, message, try) ↔ integer, the same for numbers, arrays and SQL."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from channelsim.contracts.keys import Keys

counts = st.integers(1, 10**6)


@given(counts, st.integers(1, 64), st.data())
def test_a_key_leads_back_to_where_it_came_from(
    messages: int, tries: int, data: st.DataObject
) -> None:
    keys = Keys(messages, tries)
    arm = data.draw(st.integers(0, 1000))
    message = data.draw(st.integers(0, messages - 1))
    number = data.draw(st.integers(0, tries - 1))
    transmission = keys.transmission(arm, message)
    key = keys.attempt(transmission, number)
    assert keys.of_attempt(key) == (transmission, number)
    assert keys.of_transmission(transmission) == (arm, message)
    assert transmission in keys.transmissions(arm)
    assert key in keys.attempts(arm)
    assert key not in keys.attempts(arm + 1)


def test_every_attempt_of_a_run_has_a_number_of_its_own() -> None:
    keys = Keys(7, 3)
    arm, message, number = np.indices((4, 7, 3)).reshape(3, -1)
    found = keys.attempt(keys.transmission(arm, message), number)
    assert found.tolist() == list(range(4 * 7 * 3))
    assert np.array_equal(keys.of_transmission(keys.of_attempt(found)[0])[1], message)
    assert keys.transmissions(2, 3, 5) == range(17, 19)


def test_sql_finds_the_last_attempt_by_the_same_rule() -> None:
    keys = Keys(10, 4)
    last = keys.last_attempt("t.transmission", "t.attempts")
    query = f"SELECT {last} FROM (SELECT 23 AS transmission, 3 AS attempts) t"
    with closing(sqlite3.connect(":memory:")) as connection:
        assert connection.execute(query).fetchone() == (keys.attempt(23, 2),)
