"""What files call models, formats, chips and runtimes, and what npusim calls them."""

from __future__ import annotations

import re
from pathlib import Path

from npusim.errors import UserError
from npusim.hardware.catalog import load_system, shipped_runtimes
from npusim.inputs import remembered
from npusim.workload.formats import kv_of_label, scheme_of_label
from npusim.workload.precision import SCHEMES


def told_precision(name: str) -> str | None:
    """The scheme that the name of a model or a format gives, None where it gives none."""
    text = name.strip().lower()
    return text if text in SCHEMES else scheme_of_label(text)


@remembered
def shipped_arch(device: str) -> str | None:
    """The shipped architecture, or own file, that a device's name means."""
    text = re.sub(r"^(furiosaai|furiosa|nvidia)[ _-]+", "", device.strip(), flags=re.IGNORECASE)
    for name in (device, text, text.replace("_", " ")):
        try:
            return name if Path(name).suffix else load_system(name, uncalibrated=True).name
        except UserError:
            continue
    return None


@remembered
def shipped_runtime(text: str) -> str | None:
    """The shipped runtime of a backend with its version ("furiosa-llm 2026.3.1"), or of the backend alone."""
    words = re.match(r"\s*([A-Za-z][A-Za-z-]*[A-Za-z])(?:[ _-]+v?(\d+\.\d+))?", text)
    if words is None:
        return None
    backend, version = words.group(1).lower(), words.group(2)
    known = shipped_runtimes()
    named = f"{backend}-{version}" if version else backend
    return named if named in known else backend if backend in known else None


def told_kv(text: str | None) -> str | None:
    """The KV format that a setting gives, None where it leaves it to the server ("auto")."""
    plain = (text or "auto").strip().lower()
    known = kv_of_label(plain) or next((name for name in ("fp8", "int8") if plain.startswith(name)), plain)
    return None if plain == "auto" else known
