"""What searches of plans pass over must not change what they find."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from npusim.hardware.catalog import load_system
from npusim.mapping import placement
from npusim.mapping.deployment import deploy
from npusim.mapping.plan import all_plans
from npusim.serving.load import random_load
from npusim.serving.planning import OBJECTIVES, Wish, best_for_run, estimate_plan, front
from npusim.workload.arrivals import Closed
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


@pytest.mark.parametrize(("arch", "model", "cards"), [("gb200-nvl72", "gpt-oss-20b", 8), ("rngd", "gpt-oss-20b", 4)])
def test_groups_that_do_not_meet_are_as_one_alone(arch: str, model: str, cards: int) -> None:
    """To the last bit, whether they share links (RNGD's sockets) or do not (a switch)."""
    fabric, seen, shared = load_system(arch).server.fabric, set(), 0
    for plan in all_plans(load_system(arch), load_model(model), cards):
        for groups in placement.groups_of(plan).values():
            if groups in seen:
                continue
            seen.add(groups)
            whole = placement._tables(placement._Network(fabric, groups))
            assert placement.tables_of(fabric, groups).is_like(whole)
            shared += placement._one_for_all(fabric, groups) is None
    assert seen and (shared > 0) == (arch == "rngd")


def test_the_plan_is_that_of_scores_with_all_bounds() -> None:
    """Bounds are looked for in the front alone; the plan that is taken, and the front, are as before."""
    base, load = deploy("rngd", "llama-3.1-8b"), random_load(64, 8, Closed(4), 8)
    plans = [plan for plan in all_plans(base.system, base.model, 2) if base.fitting.recommends(plan, 72)]
    estimates = front([estimate_plan(base.under(plan), 64, 8, 4) for plan in plans])
    found = best_for_run(base, load, 4, Wish("tpot", cards=2), 0)
    assert {score.plan for score in found.front} <= {score.plan for score in estimates}
    assert found.best.plan == min(found.front, key=OBJECTIVES["tpot"]).plan
    assert all(score.bound for score in found.front)
    assert np.isfinite([score.tpot_ms for score in found.front]).all()
