"""Which of a GPU's kernel libraries a runtime uses: names become indices in the machine's array fields."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from npusim.engine.analytic import AnalyticEngine
from npusim.errors import UserError
from npusim.hardware.catalog import load_runtime, load_system, shipped_runtimes, shipped_systems
from npusim.hardware.flat import MAX_PARTS
from npusim.hardware.machine import build_machine
from npusim.hardware.runtime import Runtime
from npusim.hardware.runtime_record import build_runtime
from npusim.hardware.system import System
from npusim.mapping.deployment import Deployment
from npusim.mapping.optable import ATTENTION, LINEAR
from npusim.workload.step import decode, mixed

Deploy = Callable[..., Deployment]
CHOSEN = {"linear": "block-fp8", "attention": "cudnn", "vector": "eager"}


def _with_kernels(**names: str) -> Runtime:
    runtime = load_runtime("vllm", "gpu")
    assert runtime.kernels is not None
    return runtime.model_copy(update={"kernels": runtime.kernels.model_copy(update=names)})


def _redeployed(deployment: Deployment, **names: str) -> Deployment:
    return deployment.with_records(deployment.machine, build_runtime(_with_kernels(**names), deployment.system))


def _with_libraries(system: System, what: str, count: int) -> System:
    libraries = tuple(
        getattr(system.chip.unit, what)[0].model_copy(update={"name": f"library-{index}"}) for index in range(count)
    )
    unit = system.chip.unit.model_copy(update={what: libraries})
    return system.model_copy(update={"chip": system.chip.model_copy(update={"unit": unit})})


@pytest.mark.parametrize("what", ["linear", "attention", "vector"])
def test_a_library_fills_its_own_place(what: str) -> None:
    system = load_system("h200", uncalibrated=True)
    launches = build_machine(system)[0][f"gpu_{what}_launch"]
    libraries = getattr(system.chip.unit, what)
    assert launches.shape == (MAX_PARTS,)
    assert list(launches[: len(libraries)]) == [library.launch.value for library in libraries]
    assert np.isnan(launches[len(libraries) :]).all()


@pytest.mark.parametrize("what", ["linear", "attention", "vector"])
def test_the_runtime_chooses_by_name(what: str) -> None:
    system = load_system("h200")
    known = [library.name for library in getattr(system.chip.unit, what)]
    assert CHOSEN[what] in known
    for name in known:
        record = build_runtime(_with_kernels(**{what: name}), system)[0]
        assert record[f"{what}_library"] == known.index(name)


GPUS = [name for name in shipped_systems() if load_system(name).chip.unit.kind == "gpu"]
OF_CUDA = [name for name in GPUS if load_system(name).vendor == "NVIDIA"]


@pytest.mark.parametrize(
    ("arch", "name"),
    [*((arch, name) for arch in OF_CUDA for name in ("vllm", "cuda-graph-engine"))]
    + [(arch, load_system(arch).runtime) for arch in GPUS],
)
def test_shipped_runtimes_find_their_libraries(arch: str, name: str) -> None:
    system, runtime = load_system(arch), load_runtime(name, "gpu")
    record = build_runtime(runtime, system)[0]
    for what in CHOSEN:
        chosen = getattr(system.chip.unit, what)[record[f"{what}_library"]]
        assert chosen.name == getattr(runtime.kernels, what)


@pytest.mark.parametrize("what", ["linear", "attention", "vector"])
def test_an_unknown_library_is_the_users_mistake(what: str) -> None:
    system = load_system("h200")
    with pytest.raises(UserError) as caught:
        build_runtime(_with_kernels(**{what: "cutlass"}), system)
    assert (caught.value.location, caught.value.key) == ("vllm", f"kernels.{what}")
    names = ", ".join(library.name for library in getattr(system.chip.unit, what))
    assert caught.value.message == f"'cutlass' is no library of h200; it has {names}"


def test_a_gpus_runtime_names_its_libraries(tmp_path: Path) -> None:
    text = shipped_runtimes()["vllm"].read_text(encoding="utf-8")
    kernels = next(line for line in text.splitlines(keepends=True) if line.startswith("kernels:"))
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace(kernels, ""), encoding="utf-8")
    with pytest.raises(UserError, match="a gpu's runtime needs 'kernels': the libraries that it uses"):
        load_runtime(str(path), "gpu")
    path.write_text(text.replace(kernels, kernels.replace("linear", "linar")), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load_runtime(str(path), "gpu")
    assert (caught.value.key, caught.value.message) == ("kernels.linar", "unknown key; did you mean 'linear'?")


def test_a_contraction_processor_has_no_libraries() -> None:
    record = build_runtime(load_runtime("furiosa-llm-2026.3", "contraction_processor"), load_system("rngd"))[0]
    assert [record[f"{what}_library"] for what in CHOSEN] == [0, 0, 0]


def test_more_libraries_than_the_record_holds_are_refused() -> None:
    system = load_system("h200", uncalibrated=True)
    assert build_machine(_with_libraries(system, "linear", MAX_PARTS))[0]["gpu_linear_launch"][-1] > 0.0
    with pytest.raises(UserError, match=f"more than {MAX_PARTS} parts"):
        build_machine(_with_libraries(system, "linear", MAX_PARTS + 1))


def test_rows_carry_the_library_of_their_kind(deployed: Deploy) -> None:
    deployment = _redeployed(deployed("h200", "llama-3.1-8b", runtime="vllm"), **CHOSEN)
    rows = AnalyticEngine(deployment).operators(mixed([100, 999], [(130, 500)]))[0].rows
    record = deployment.runtime_record[0]
    assert record["linear_library"] == record["attention_library"] == 1
    assert record["vector_library"] == 0
    assert set(rows[rows["kind"] == LINEAR]["library"]) == {1}
    assert set(rows[rows["kind"] == ATTENTION]["library"]) == {1}
    others = (rows["kind"] != LINEAR) & (rows["kind"] != ATTENTION)
    assert set(rows[others]["library"]) == {0}


@pytest.mark.parametrize("what", ["linear", "attention", "vector"])
def test_only_the_chosen_library_costs(deployed: Deploy, what: str) -> None:
    deployment = _redeployed(deployed("h200", "llama-3.1-8b", runtime="vllm"), **CHOSEN)
    used = int(deployment.runtime_record[0][f"{what}_library"])
    step = decode([1000] * 4)
    known = AnalyticEngine(deployment).cost(step).time_s
    for library in range(2):
        machine = deployment.machine.copy()
        machine[f"gpu_{what}_launch"][0, library] += 1e-5
        slower = AnalyticEngine(deployment.with_records(machine, deployment.runtime_record)).cost(step).time_s
        assert (slower > known) == (library == used)
