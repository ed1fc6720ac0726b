"""Each number of three chips, with each of their runtimes, moves a figure in a load that it is for."""

from __future__ import annotations

import pytest
from acting_support import search

from npusim.hardware.catalog import load_runtime, load_system
from npusim.hardware.field_docs import sentence_at

ONLY_SHOWN = {"chip.power.tdp": "only shown"}
"""Numbers that nothing is computed from, and the words in which their sentences say so."""
_MULTIPLIED = "where the units multiply its type"
UNMOVED = {
    "rngd": ONLY_SHOWN,
    "h200": ONLY_SHOWN
    | {
        "chip.memory.contention_sharpness": "several streaming engines",
        "chip.unit.grouped.torch-grouped.unaligned_efficiency": "unaligned rows",
        "chip.unit.linear.vllm-cutlass.split_merge": "where few tiles split k",
        "chip.unit.linear.vllm-cutlass.tile_depth": "where k is split",
    },
    "lpddr6-pim": ONLY_SHOWN
    | {
        "chip.pim.energy.mac_16bit": "of units that multiply them",
        "chip.pim.memory.timing.tAAD": "moves no figure",
        "chip.pim.memory.timing.tRAS": "binds where it is longer",
        "chip.pim.unit.attention.dimension_ways": "where heads are overlapped",
        "pim-server/offload.head": _MULTIPLIED,
        "pim-device/offload.head": _MULTIPLIED,
    },
}
"""Besides, what acts on none of them, and the words in which their sentences say when they act: a GPU streams as one
engine, vLLM's kernels for FP8 never split k, no shipped model splits its experts into rows that are no multiple of 8
elements; units of LPDDR6-PIM multiply integers alone, which the LM head of no shipped scheme is in, and take one head
after the other."""
REFUSED = {
    "rngd": {"card.chips": "server.fabric"},
    "h200": {"card.chips": "server.fabric"},
    "lpddr6-pim": {
        "card.chips": "server.fabric",
        "chip.pim.memory.organisation.bank_groups": "bank_group reaches",
        "chip.pim.memory.organisation.banks_per_group": "bank reaches",
        "chip.pim.memory.organisation.pseudo_channels": "pseudo_channel reaches",
        "chip.pim.memory.organisation.metadata": "a burst carries",
        "chip.pim.memory.organisation.width": "a burst carries",
    },
}
"""Numbers that are no others without others beside them, and the words in which the description says so."""


@pytest.mark.parametrize("arch", sorted(UNMOVED))
def test_every_number_moves_a_figure_or_says_why_it_does_not(arch: str) -> None:
    found = search(arch)
    assert len(found.numbers) > 100
    left = {
        label if owner == arch else f"{owner}/{label}": found.refused.get((owner, label))
        for owner, label in found.numbers.keys() - found.moved.keys()
    }
    refused = {path: reason for path, reason in left.items() if reason}
    assert sorted(refused) == sorted(REFUSED[arch])
    assert all(words in refused[path] for path, words in REFUSED[arch].items())
    assert sorted(left.keys() - refused) == sorted(UNMOVED[arch])
    system = load_system(arch)
    for path, words in UNMOVED[arch].items():
        runtime, _, label = path.rpartition("/")
        described = load_runtime(runtime, system.chip.unit.kind) if runtime else system
        assert words in sentence_at(described, label)
