"""What the software of a chip can do otherwise than labs ran it, as `show` tells it."""

from __future__ import annotations

from typing import Any

from npusim.hardware.software import InUse


def software_facts(used: InUse) -> dict[str, Any]:
    """The usual state, what labs ran, and what each mechanism puts in place of what."""
    return {
        "name": used.description.name,
        "state": used.state,
        "as_labs_ran": used.description.as_labs_ran,
        "mechanisms": [
            {
                "name": mechanism.name,
                "does": mechanism.does,
                "sets": [
                    {
                        "path": each.path,
                        "of_runtime": each.of_runtime,
                        "was": _told(each.was),
                        "tuned": _told(each.tuned),
                    }
                    for each in used.settings
                    if each.mechanism == mechanism.name
                ],
            }
            for mechanism in used.description.mechanisms
        ],
    }


def _told(value: Any) -> Any:
    """A number with its provenance as a map, a word as it is."""
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value
