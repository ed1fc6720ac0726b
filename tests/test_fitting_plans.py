"""What searches of plans pass over must not change what they find."""

from __future__ import annotations

from dataclasses import replace

import pytest

from npusim.hardware.catalog import load_system
from npusim.mapping import placement
from npusim.mapping.deployment import deploy
from npusim.mapping.plan import all_plans
from npusim.workload.catalog import load_model


@pytest.mark.parametrize(("arch", "model"), [("h200", "gpt-oss-20b"), ("rngd", "llama-3.1-8b")])
@pytest.mark.parametrize("part", [0.02, 0.1, 0.4, 1.0])
def test_the_bound_on_weights_hides_no_plan(arch: str, model: str, part: float) -> None:
    """Against looking at every plan, at memories from far too small to large enough."""
    base = deploy(arch, model, precision="bf16")
    machine = base.machine.copy()
    machine["memory_usable_capacity"] *= part
    fitting = replace(base.fitting, machine=machine)
    plans = [plan for plan in all_plans(base.system, base.model, base.system.max_cards) if plan.data_parallel == 1]
    order = sorted(plans, key=lambda p: (p.cards, p.pipeline_parallel, p.expert_parallel, -p.tensor_parallel))
    assert fitting.fitting_plan(1024) == next((plan for plan in order if fitting.recommends(plan, 1024)), None)


@pytest.mark.parametrize(("arch", "model", "cards"), [("gb200-nvl72", "gpt-oss-20b", 6), ("rngd", "llama-3.1-8b", 8)])
def test_groups_that_do_not_meet_are_as_one_alone(arch: str, model: str, cards: int) -> None:
    """To the last bit, whether groups share links (replicas over RNGD's sockets) or do not (a switch)."""
    fabric, seen = load_system(arch).server.fabric, set()
    for plan in all_plans(load_system(arch), load_model(model), cards):
        for groups in placement.groups_of(plan).values():
            if groups not in seen:
                seen.add(groups)
                whole = placement._tables(placement._Network(fabric, groups))
                assert placement.tables_of(fabric, groups).is_like(whole)
    assert len(seen) > 10


def test_groups_that_share_a_link_are_not_as_one_alone() -> None:
    """Four stages' groups cross the one link between two sockets together."""
    fabric = load_system("rngd").server.fabric
    groups = ((0, 4), (1, 5), (2, 6), (3, 7))
    assert placement._one_for_all(fabric, groups) is None
    assert placement._one_for_all(fabric, ((0, 1), (2, 3))) is not None
