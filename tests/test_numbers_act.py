"""Each number of two shipped chips, with each of their runtimes, moves a figure in a load that it is for."""

from __future__ import annotations

import pytest
from acting_support import search

from npusim.hardware.catalog import load_system
from npusim.hardware.field_docs import sentence_at

ONLY_SHOWN = {"chip.power.tdp": "only shown"}
"""Numbers that nothing is computed from, and the words in which their sentences say so."""
UNMOVED = {
    "rngd": ONLY_SHOWN,
    "h200": ONLY_SHOWN
    | {
        "chip.memory.contention_sharpness": "several streaming engines",
        "chip.unit.grouped.torch-grouped.unaligned_efficiency": "unaligned rows",
    },
}
"""Besides, what acts on neither: a GPU streams as one engine, and no shipped model splits its experts into rows that
are no multiple of 8 elements; and the words in which their sentences say when they act."""


@pytest.mark.parametrize("arch", sorted(UNMOVED))
def test_every_number_moves_a_figure_or_says_why_it_does_not(arch: str) -> None:
    found = search(arch)
    assert len(found.numbers) > 100
    unmoved = found.numbers.keys() - found.moved.keys()
    assert sorted(unmoved) == sorted((arch, path) for path in UNMOVED[arch])
    for path, words in UNMOVED[arch].items():
        assert words in sentence_at(load_system(arch), path)
