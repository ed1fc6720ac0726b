"""The base of every described part: frozen, and closed to unknown keys; and plain numbers with their domains."""

from __future__ import annotations

import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from npusim.inputs.limits import MOST, MOST_USERS


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _day(text: str) -> str:
    datetime.date.fromisoformat(text)
    return text


Whole = Annotated[int, Field(gt=0, le=MOST, strict=True)]
"""How many there are of something: 1 or more."""
Users = Annotated[int, Field(gt=0, le=MOST_USERS, strict=True)]
WholeOrZero = Annotated[int, Field(ge=0, le=MOST, strict=True)]
Spread = Annotated[float, Field(ge=0.0, le=100.0, strict=True)]
"""A relative error, or the half-width of a logarithm: 0 or more."""
Share = Annotated[float, Field(ge=0.0, le=1.0, strict=True)]
Correlation = Annotated[float, Field(ge=-1.0, le=1.0, strict=True)]
Day = Annotated[str, AfterValidator(_day)]
"""A date as 2026-11-27."""
