"""What a run says that it waits for: a decode step, taken apart."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cli_support import RUN, tell

from npusim.answers.bottleneck import HOST, bottleneck
from npusim.mapping.deployment import Deployment

Deploy = Callable[..., Deployment]


@pytest.mark.parametrize(("arch", "options"), [("h200", {}), ("rngd", {"cards": 2, "tensor_parallel": 2})])
def test_shares_make_up_the_step(deployed: Deploy, arch: str, options: dict[str, int]) -> None:
    found = bottleneck(deployed(arch, "llama-3.1-8b", **options), 4, 1000, 64)
    assert sum(found["shares_ms"].values()) == pytest.approx(found["step_ms"], rel=1e-9)
    for part in (found, found["decode"], found["prompt"]):
        assert part["bound"] == max(part["gains"], key=lambda name: part["gains"][name])
    assert 0.0 < found["fixed_ms"] < found["step_ms"]
    assert [each["time_ms"] for each in found["operators"]] == sorted(
        (each["time_ms"] for each in found["operators"]), reverse=True
    )


def test_a_slow_host_is_the_bottleneck(deployed: Deploy, altered: Callable[..., Deployment]) -> None:
    slow = altered(deployed("h200", "llama-3.1-8b"), host_step_time=1.0)
    found = bottleneck(slow, 1, 500, 8)
    assert found["bound"] == HOST
    assert found["shares_ms"][HOST] == pytest.approx(1e3, rel=1e-9)


def test_replicas_share_the_users(deployed: Deploy) -> None:
    assert bottleneck(deployed("h200", "llama-3.1-8b", plan="tp1-dp2"), 7, 500, 8)["sequences"] == 4


def test_a_run_names_its_bottleneck() -> None:
    assert "Bottleneck: " in tell(*RUN).out
    assert tell(*RUN, "--interval", "--json").json["bottleneck"]["sequences"] == 2
