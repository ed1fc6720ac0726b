"""Memories below the chip's own to which evicted KV goes: the host's, SSDs."""

from __future__ import annotations

from typing import Literal

from npusim.errors import UserError
from npusim.hardware.description import Description, part_file
from npusim.hardware.link import Link
from npusim.hardware.yaml_file import load_yaml
from npusim.inputs import remembered
from npusim.ledger import Bytes
from npusim.units import to_si


class KvTier(Description):
    """A memory that keeps the KV of prompts which the prefix cache had to let go."""

    FOLDER = "tiers"

    name: str
    """Name under which it is looked up and shown."""
    title: str
    """Title as shown in reports."""
    note: str = ""
    """Remark for readers, from which nothing is computed."""
    per: Literal["card", "server"]
    """Whether size and link are those of each `card`, or those that the cards of a `server` share."""
    size: Bytes
    """Room for KV, in bytes."""
    link: Link
    """Way from it to the host, or to the card where that is the narrower one."""


@remembered
def _load(name_or_path: str) -> KvTier:
    return load_yaml(part_file(KvTier.FOLDER, name_or_path), KvTier)


def load_kv_tier(told: str, option: str = "--kv-tiers") -> tuple[KvTier, float]:
    """The tier of NAME or NAME=SIZE, a shipped name or a path, and its bytes. Raises UserError, told of `option`."""
    name, equals, size = told.strip().partition("=")
    tier = _load(name)
    if not equals:
        return tier, tier.size.value
    try:
        room = to_si(size, "B")
    except ValueError as error:
        raise UserError(option, told, "tell the size as in host-memory=64GiB") from error
    if room < 0.0:
        raise UserError(option, told, "the size must be 0 or more")
    return tier, room
