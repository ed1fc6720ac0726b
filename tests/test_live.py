"""Sequences that decode together: their arrays follow the requests; an end of time is met to the last bit."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from npusim.serving.live import Live
from npusim.serving.request import Request
from npusim.serving.server import delay_until

TIMES = st.floats(0.0, 1e6, allow_subnormal=False)


@given(TIMES, st.lists(st.floats(1e-9, 1e3), min_size=1, max_size=40))
def test_one_delay_ends_when_many_in_a_row_do(now_s: float, times_s: list[float]) -> None:
    end_s = now_s
    for seconds in times_s:
        end_s += seconds
    delay_s = delay_until(now_s, end_s)
    assert delay_s is None or now_s + delay_s == end_s
    assert delay_s is not None or now_s > 0.0


def test_an_odd_end_between_two_ties_is_met_by_no_delay() -> None:
    half, odd = 2.0**-53, 1.0 + 2.0**-52
    assert half + 1.0 < odd < half + (1.0 + 2.0**-52)
    assert delay_until(half, odd) is None
    assert delay_until(half, 1.0) is not None


@given(st.lists(st.tuples(st.integers(1, 500), st.integers(2, 90)), max_size=200), st.data())
def test_arrays_follow_the_requests(asked: list[tuple[int, int]], data: st.DataObject) -> None:
    live = Live()
    known: list[tuple[Request, int, int]] = []
    for index, (isl, osl) in enumerate(asked):
        request = Request(index, (), isl, osl, generated=1)
        live.join(request, isl, float(index))
        known.append((request, isl, osl - 1))
        steps = data.draw(st.integers(0, min(each[2] for each in known)))
        live.advance(steps, 1e3 + index)
        known = [(request, held + steps, left - steps) for request, held, left in known]
        gone = live.leave(live.remaining > 0)
        assert gone == [(request, held) for request, held, left in known if left == 0]
        assert all(request.generated == request.osl and request.last_token_s == 1e3 + index for request, _ in gone)
        known = [each for each in known if each[2] > 0]
        if known and data.draw(st.integers(0, 9)) == 0:
            request, held, left = known.pop()
            assert live.leave_last() == (request, held)
            assert request.generated == request.osl - left
        assert live.requests == [request for request, _, _ in known]
        assert np.array_equal(live.held, [held for _, held, _ in known])
        assert np.array_equal(live.remaining, [left for _, _, left in known])
        assert len(live.last_s) == len(live) == len(known)
