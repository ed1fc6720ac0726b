"""Links between servers: what joins instances that hand requests on to each other."""

from __future__ import annotations

from typing import Literal

from npusim.hardware.description import Description, part_file
from npusim.hardware.link import Link
from npusim.hardware.yaml_file import load_yaml
from npusim.inputs import remembered


class ServerLink(Description):
    """A link by which servers reach each other."""

    FOLDER = "links"

    name: str
    """Name under which it is looked up and shown."""
    title: str
    """Title as shown in reports."""
    note: str = ""
    """Remark for readers, from which nothing is computed."""
    per: Literal["card", "server"]
    """Whether each `card` has a link of its own, or the cards of a `server` share one."""
    link: Link
    """The link, in each direction."""

    def rate_bytes_per_s(self, cards: int) -> float:
        """Payload rate of an instance on so many cards, in bytes/s."""
        return self.link.rate_bytes_per_s * (cards if self.per == "card" else 1)


@remembered
def load_server_link(name_or_path: str) -> ServerLink:
    """The link of that shipped name or path. Raises UserError."""
    return load_yaml(part_file(ServerLink.FOLDER, name_or_path), ServerLink)
