"""Chips that are known by name and not described: what is public of them, and what is not."""

from __future__ import annotations

from pydantic import Field

from npusim.errors import UserError
from npusim.hardware.base import Part
from npusim.hardware.data import data_root
from npusim.hardware.yaml_file import load_yaml
from npusim.inputs import aside, remembered


class UndisclosedChip(Part):
    """A chip of which no public numbers suffice."""

    title: str
    """Title as shown in messages."""
    names: tuple[str, ...] = Field(min_length=1)
    """Names under which it is asked for, in lower case."""
    public: str
    """What is public of it."""
    lacks: str
    """What public sources lack, so that no speed can be predicted."""


class Undisclosed(Part):
    """The shipped list of chips that are not described."""

    name: str
    """Name of the list."""
    chips: tuple[UndisclosedChip, ...]
    """Chips of the list."""


@remembered
def undisclosed_chips() -> tuple[UndisclosedChip, ...]:
    """The chips of the shipped list."""
    return load_yaml(data_root("arch_configs") / "undisclosed" / "chips.yaml", Undisclosed).chips


def undisclosed(name: str) -> UserError | None:
    """Why the chip of that name (any case) is not described, None for another name."""
    wanted = name.strip().lower()
    with aside():
        found = next((chip for chip in undisclosed_chips() if wanted in chip.names), None)
    if found is None:
        return None
    return UserError(
        "architecture",
        name,
        f"{found.title} is not described, since no public numbers suffice. Public: {found.public}; but {found.lacks}. "
        "Describe what you know of it in a file of your own (npusim new-chip)",
    )
