"""What all instances of a fleet serve at once: the requests of a trace, or of a described load."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from npusim.api.loading import Loading

if TYPE_CHECKING:
    from npusim.explore.fleet.traced import TracedLoad


def traced_load(load: str | None, trace: Path | None, seed: int) -> TracedLoad | None:
    """What is told of it beside its requests stands under the key that `npusim run` has it under; None for neither.

    Raises UserError.
    """
    from npusim.explore.fleet.traced import TracedLoad

    if load is None and trace is None:
        return None
    served = Loading(load=load, trace=trace, seed=seed).asked_load
    if served.trace is not None:
        return TracedLoad(served.load, "trace", served.trace)
    assert served.described is not None
    return TracedLoad(served.load, "load", served.described)
