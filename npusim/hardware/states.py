"""The states in which the software of a chip can be, which `software` describes."""

from __future__ import annotations

from typing import Literal, get_args

State = Literal["as-labs-ran", "tuned", "open"]
STATES: tuple[State, ...] = get_args(State)
AS_LABS_RAN, TUNED, OPEN = STATES
