"""Sources of shipped numbers: what is recalled is assumed, and what is measured or published can be found."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from npusim.hardware.data import data_root

_FOLDERS = ("arch_configs", "workloads", "rules", "validation")
_FOUND = re.compile(
    r"\b(?:19|20)\d\d\b|\.(?:com|ai|org|io|net|kr|dev|md|csv|py|cu|yaml|ini|json|rst|cpp|h)\b|@[0-9a-f]{6,}|\w/\w|arXiv|"
    r"\bcard of\b|data ?sheet|white ?paper|\bbrief\b|\bv\d+(?:\.\d+)*\b|JESD|JEDEC|ISO|ISSCC|"
    r"Hot Chips|JCGM|OCP|IEEE|PCI Express|vLLM 0",
    re.IGNORECASE,
)
"""What makes a document findable: a year, an address, a repository, a file, a standard, its own kind or edition."""
_FIRM = ("measured", "datasheet", "published")
_OWN = ("board whose watts were measured", "an exposure tool")
"""Firm numbers of npusim's own measurement, and of a rule of the trade, whose sources are told beside them."""


@cache
def _told() -> tuple[tuple[str, str, str], ...]:
    """File and path, kind and source of every number."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found = []
    for folder in _FOLDERS:
        for path in sorted(data_root(folder).rglob("*.yaml")):
            told = yaml.load(path.read_text(encoding="utf-8"), loader)
            found += [(f"{path.name}{where}", *each) for where, each in _numbers(told)]
    return tuple(found)


def _numbers(node: Any, where: str = "") -> Iterator[tuple[str, tuple[str, str]]]:
    if isinstance(node, dict):
        if isinstance(node.get("source"), str) and isinstance(node.get("kind"), str):
            yield where, (node["kind"], node["source"])
        for key, value in node.items():
            yield from _numbers(value, f"{where}.{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _numbers(value, f"{where}[{index}]")


def test_what_is_measured_or_published_names_a_document_that_can_be_found() -> None:
    firm = [(where, source) for where, kind, source in _told() if kind in _FIRM]
    assert len(firm) > 400
    lost = [each for each in firm if not _FOUND.search(each[1]) and not any(own in each[1] for own in _OWN)]
    assert lost == []


def test_what_is_recalled_is_no_firm_number() -> None:
    assert [each for each in _told() if each[1] in _FIRM and "recall" in each[2].lower()] == []


@pytest.mark.parametrize("folder", ["arch_configs/neuromorphic", "workloads/loads"])
def test_papers_that_nobody_read_again_are_told_so(folder: str) -> None:
    """A paper is cited by its authors or its number; what is npusim's own cites none."""
    root, _, part = folder.partition("/")
    names = {path.name for path in (data_root(root) / part).glob("*.yaml")}
    cited = [each for each in _told() if each[0].partition(".yaml")[0] + ".yaml" in names and _cites(each[2])]
    assert cited and all(kind == "assumed" and "recalled, not re-read" in source for _, kind, source in cited)


def _cites(source: str) -> bool:
    return bool(re.search(r"et al\.|arXiv|technology brief", source))


def test_a_source_that_points_at_nothing_is_found() -> None:
    assert not _FOUND.search("one MAC register a bank") and not _FOUND.search("a web page")
    assert _FOUND.search("Merolla et al. 2014, Science 345:668") and _FOUND.search("SAITPublic/PIMSimulator@b464dde: x")
    assert Path(data_root("rules")).is_dir()
