"""What tables, files and checkpoints call a shipped model."""

from __future__ import annotations

import re

from npusim.inputs import remembered
from npusim.workload.catalog import shipped_model_path, shipped_models
from npusim.workload.formats import formats

_RULES = re.compile(r"-(interactive|server|offline|edge|datacenter)$|-99(\.9)?$")
"""What MLPerf puts behind a model's name."""


@remembered
def shipped_model(name: str) -> str | None:
    """The shipped model that a file names: by name, alias, or either without organisation and number format."""
    plain = name.strip().lower()
    for text in (plain, _bare(plain)):
        path = shipped_model_path(text)
        if path is not None:
            return path.stem
    found = {path.stem for alias, path in shipped_models().items() if _bare(alias) == _bare(plain)}
    return found.pop() if len(found) == 1 else None


def _bare(name: str) -> str:
    last = re.sub(r"[ _]+", "-", re.sub(r"[()\[\],]", " ", name.rsplit("/", 1)[-1]).strip()).removesuffix(".json")
    for label in formats().labels:
        last = re.sub(rf"[-.](quantized[-.])?({label.words})(?=$|[-.])", "", last)
    while _RULES.search(last):
        last = _RULES.sub("", last)
    last = re.sub(r"^llama(?=\d)", "llama-", re.sub(r"^meta-", "", last))
    return re.sub(r"-(instruct|it|chat|hf)$", "", last)
