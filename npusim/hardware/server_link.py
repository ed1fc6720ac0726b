"""Links between servers: what joins instances that hand requests on to each other."""

from __future__ import annotations

from typing import Literal

from npusim.hardware.calibration import with_quantities
from npusim.hardware.description import Description, part_file
from npusim.hardware.draws import RangedNumber, drawn_values, is_ranged
from npusim.hardware.link import Link
from npusim.hardware.yaml_file import load_yaml
from npusim.inputs import remembered
from npusim.ledger import provenances

_LINKS = 2**36
"""Added to the seed for links, whose draws are independent of a machine's."""


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


def drawn_links(link: ServerLink, count: int, seed: int) -> list[ServerLink]:
    """`count` links whose numbers are drawn from their ranges."""
    told = {each.path: each.quantity for each in provenances(link.name, link) if is_ranged(each.quantity)}
    numbers = [RangedNumber(link.name, path, None, quantity, path) for path, quantity in told.items()]
    drawn = dict(zip(told, drawn_values(numbers, count, seed + _LINKS), strict=True))
    return [
        with_quantities(
            link, {path: told[path].model_copy(update={"value": float(drawn[path][place])}) for path in told}
        )
        for place in range(count)
    ]
