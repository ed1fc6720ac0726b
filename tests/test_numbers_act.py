"""Each number of three shipped chips, with each of their runtimes, moves a figure in a load that it is for."""

from __future__ import annotations

import pytest
from acting_support import search

from npusim.hardware.catalog import load_system
from npusim.hardware.field_docs import sentence_at

ONLY_SHOWN = {"chip.power.tdp": "only shown"}
"""Numbers that nothing is computed from, and the words in which their sentences say so."""


@pytest.mark.parametrize("arch", ["rngd", "h200", "lpddr6-pim"])
def test_every_number_moves_a_figure_or_says_that_it_does_not(arch: str) -> None:
    found = search(arch)
    assert len(found.numbers) > 100
    unmoved = found.numbers.keys() - found.moved.keys()
    assert sorted(unmoved) == sorted((arch, path) for path in ONLY_SHOWN), sorted(unmoved)
    for path, words in ONLY_SHOWN.items():
        assert words in sentence_at(load_system(arch), path)
