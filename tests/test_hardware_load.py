"""Descriptions of chips and runtimes: what loads, and the one line that every mistake gets."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
import pytest

from npusim import dtypes
from npusim.errors import UserError
from npusim.hardware.catalog import load_runtime, load_system, shipped_runtimes, shipped_systems
from npusim.hardware.data import data_root
from npusim.hardware.machine import build_machine
from npusim.hardware.runtime import Runtime
from npusim.hardware.runtime_record import MAX_BUCKETS, build_runtime
from npusim.hardware.system import System
from npusim.hardware.yaml_file import BinaryRateWarning, load_yaml
from npusim.ledger import Quantity, provenances

H200 = re.sub(
    r"^calibration:.*\n", "", (data_root("arch_configs") / "h200.yaml").read_text("utf-8"), flags=re.MULTILINE
)
FURIOSA = (data_root("arch_configs") / "runtimes" / "furiosa-llm-2026.3.yaml").read_text(encoding="utf-8")
SMS = 'sms: {value: 132, kind: measured, source: "device properties of one H200, November 2026"}'
NVLINK = "bandwidth:\n            value: 450 GB/s"


def _changed(folder: Path, text: str, old: str, new: str) -> tuple[Path, int]:
    """A file of `text` with `old` replaced once by `new`, and the line on which the replacement starts."""
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times"
    path = folder / "mine.yaml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    return path, text[: text.index(old)].count("\n") + 1


@pytest.mark.parametrize("name", shipped_systems())
def test_shipped_systems_load_without_a_warning(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        system = load_yaml(shipped_systems()[name], System)
    assert system.name == name
    assert load_runtime(system.runtime, system.chip.unit.kind).unit == system.chip.unit.kind
    for alias in system.aliases:
        assert load_system(alias.upper()).name == name


def test_the_asked_architectures_are_shipped() -> None:
    assert {"rngd", "rngd-plus", "h100", "h200"} <= set(shipped_systems())
    assert {"furiosa-llm-2026.2", "furiosa-llm-2026.3", "vllm", "cuda-graph-engine"} <= set(shipped_runtimes())


def test_no_alias_stands_for_two_systems() -> None:
    spellings = [{name, *(alias.lower() for alias in load_system(name).aliases)} for name in shipped_systems()]
    assert sum(len(own) for own in spellings) == len(set().union(*spellings))


@pytest.mark.parametrize("name", shipped_systems())
def test_every_assumption_has_its_range_and_every_number_its_source(name: str) -> None:
    found = list(provenances(name, load_system(name)))
    assert len(found) > 40
    assert len({item.path for item in found}) == len(found)
    for item in found:
        quantity = item.quantity
        assert quantity.source.strip(), item.path
        if quantity.is_assumed:
            assert quantity.low is not None and quantity.high is not None, item.path
            assert quantity.low <= quantity.value <= quantity.high, item.path


@pytest.mark.parametrize("name", shipped_runtimes())
def test_runtimes_load_with_provenances_and_both_phases(name: str) -> None:
    runtime = load_yaml(shipped_runtimes()[name], Runtime)
    assert runtime.name == name
    assert {path.serves for path in runtime.paths} == {"decode", "prefill"}
    paths = [item.path for item in provenances(name, runtime)]
    assert f"paths.{runtime.paths[0].name}.step_launch" in paths
    assert "kv.admission_watermark" in paths


def test_unpublished_numbers_of_a_chip_without_silicon_are_assumed() -> None:
    plus = load_system("rngd-plus")
    assert not plus.silicon
    assert plus.chip.memory.channel_bandwidth.is_assumed
    assert plus.chip.power.cap.is_assumed


def test_a_machine_holds_every_number_of_its_system() -> None:
    system = load_system("rngd")
    machine = build_machine(system)[0]
    assert machine["tcp_slices_per_pe"] == 64.0
    assert machine["memory_usable_capacity"] == 47.5 * 2**30
    assert machine["memory_stacks"] * machine["memory_channels_per_stack"] * machine["memory_channel_bandwidth"] == (
        system.chip.memory.peak_bandwidth_bytes_per_s
    )
    assert "gpu_sms" not in (machine.dtype.names or ())
    assert machine["multiplies"][dtypes.MXFP4, dtypes.BF16] == dtypes.FP8
    assert machine["multiplies"][dtypes.INT4, dtypes.INT4] == dtypes.INT4
    unit = [name for name in machine.dtype.names or () if name.startswith("tcp_") and not name.endswith("_nvfp4")]
    assert not any(np.isnan(machine[name]) for name in unit)


def test_an_assumed_cap_is_not_enforced() -> None:
    assert not build_machine(load_system("rngd"))[0]["power_cap_enforced"]
    assert build_machine(load_system("h200"))[0]["power_cap_enforced"]


def test_a_runtime_record_holds_shapes_and_paths() -> None:
    record = build_runtime(load_runtime("furiosa-llm-2026.3", "contraction_processor"), load_system("rngd"))[0]
    assert list(record["batch_sizes"][: record["batch_count"]]) == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert record["contexts"][: record["context_count"]][-1] == 131072
    assert record["path_count"] == 3
    assert record["host_sampling"]
    assert record["pe_fusion"] == 8.0


LINK = "server.fabric.levels.0.link"
MISTAKES = [
    ("l2_capacity:", "l2_capcity:", 0, "chip.unit.l2_capcity", "unknown key; did you mean 'l2_capacity'?"),
    ("silicon: true", "silicon: true\nzzzz: 3", 1, "zzzz", "unknown key; remove it"),
    (SMS, SMS.replace("132, kind", "132, lwo: 3, kind"), 0, "chip.unit.sms.lwo", "did you mean 'low'?"),
    (SMS, "sms: 132", 0, "chip.unit.sms", "a bare number has no provenance"),
    (SMS, SMS.replace("132", "0"), 0, "chip.unit.sms", "'0' must be more than zero"),
    (SMS, SMS.replace("132", "-4"), 0, "chip.unit.sms", "'-4' must be more than zero"),
    (SMS, SMS.replace("measured", "assumed"), 0, "chip.unit.sms", "an assumed number needs low and high"),
    (SMS, SMS.replace("measured", "hoped"), 0, "chip.unit.sms.kind", "Input should be 'measured'"),
    (SMS, "sms: {value: 132, kind: measured}", 0, "chip.unit.sms", "the provenance lacks source"),
    (NVLINK, NVLINK.removesuffix(" GB/s"), 0, f"{LINK}.bandwidth", "'450' has no unit"),
    (NVLINK, NVLINK.replace("GB/s", "GHz"), 0, f"{LINK}.bandwidth", "'GHz' is not a unit of B/s"),
    (NVLINK, NVLINK.replace("GB/s", "GB//(s"), 0, f"{LINK}.bandwidth", "GB//(s"),
    ("low: 3 TB/s", "low: 7 TB/s", 0, "chip.unit.l2_bandwidth", "the range 7 TB/s ... 8 TB/s does not hold"),
    ("kind: gpu", "kind: tpu", -1, "chip.unit", "'contraction_processor', 'gpu'"),
    ("technology: hbm3e", "technology: hbm9", 0, "chip.memory.technology", "'hbm3e'"),
    ("stored: mxfp4", "stored: mxfp5", 0, "chip.unit.expansions.0.stored", "'mxfp4'"),
    (
        "card:\n  chips: {value: 1,",
        "card:\n  chips: {value: 2,",
        None,
        "",
        "the levels of server.fabric join 8 chips, but 8 cards have 16",
    ),
    ("runtime: vllm\n", "", None, "runtime", "this key is missing; add it"),
    ("name: NVLink 4\n          ", "", -1, f"{LINK}.name", "this key is missing; add it"),
]


@pytest.mark.parametrize(("old", "new", "line", "key", "message"), MISTAKES)
def test_a_mistake_names_file_line_key_and_mend(
    tmp_path: Path, old: str, new: str, line: int | None, key: str, message: str
) -> None:
    """`line`: lines from the change to the one that must be named; None where the file alone can be named."""
    path, start = _changed(tmp_path, H200, old, new)
    with pytest.raises(UserError) as caught:
        load_system(str(path))
    assert caught.value.location == (str(path) if line is None else f"{path}:{start + line}")
    assert caught.value.key == key
    assert message in caught.value.message
    assert "\n" not in str(caught.value)


def test_a_mistake_under_a_merge_key_is_still_one_line(tmp_path: Path) -> None:
    path, _ = _changed(tmp_path, H200, "        link:\n", "        link:\n          <<: {latncy: 3}\n")
    with pytest.raises(UserError) as caught:
        load_system(str(path))
    assert caught.value.key == f"{LINK}.latncy"


def test_a_rate_without_an_energy_is_refused(tmp_path: Path) -> None:
    (energy,) = re.findall(r"^      int8: \{value: [0-9.]+ pJ/op.*\n", H200, re.MULTILINE)
    path, _ = _changed(tmp_path, H200, energy, "")
    with pytest.raises(UserError, match="int8"):
        load_system(str(path))


@pytest.mark.parametrize(("rate", "value"), [("450 GiB/s", 450 * 2**30), ("0.4 TiB/s", 0.4 * 2**40)])
def test_a_binary_rate_warns_with_file_line_and_key(tmp_path: Path, rate: str, value: float) -> None:
    path, line = _changed(tmp_path, H200, NVLINK, NVLINK.replace("450 GB/s", rate))
    with pytest.warns(BinaryRateWarning) as caught:
        system = load_yaml(path, System)
    (warning,) = caught
    told = str(warning.message)
    assert told.startswith(f"{path}:{line}: server.fabric.levels.NVSwitch.link.bandwidth: '{rate}'")
    assert f"write '{rate.replace('iB', 'B')}'" in told
    assert system.server.fabric.levels[0].link.bandwidth.value == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("name: x\n  chip: [1\n", 2, "YAML syntax: mapping values are not allowed in this context"),
        ("name: x\nchip: [1, 2\n", 3, "YAML syntax: did not find expected ',' or ']'"),
        ("name: x\nname: y\n", 2, 'YAML syntax: found duplicate key "name"'),
        ("name: x\n\tchip: 3\n", 2, "YAML syntax: found a tab character"),
        ("name: x\x00\n", None, "holds NUL characters"),
        ("", None, "is empty; give a map of keys to values"),
        ("- 1\n- 2\n", None, "must be a map of keys to values"),
    ],
)
def test_syntax_errors_name_the_line(tmp_path: Path, text: str, line: int | None, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load_system(str(path))
    assert caught.value.location == (str(path) if line is None else f"{path}:{line}")
    assert message in caught.value.message
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "bytes.yaml"
    path.write_bytes(b"name: \xff\xfe\n")
    with pytest.raises(UserError, match="is not UTF-8 text"):
        load_system(str(path))


@pytest.mark.parametrize("name", ["nowhere/mine.yaml", "mine.yml", "nowhere/rngd"])
def test_a_missing_file(name: str) -> None:
    with pytest.raises(UserError) as caught:
        load_system(name)
    assert (caught.value.location, caught.value.key) == (name, "")
    assert "no such file" in caught.value.message


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        load_system(str(tmp_path))


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path, _ = _changed(tmp_path, H200, "silicon: true", "silicon: true")
    assert load_system(str(path)).silicon
    path.write_text(H200.replace("silicon: true", "silicon: false"), encoding="utf-8")
    assert not load_system(str(path)).silicon


def test_an_unknown_architecture_names_the_nearest() -> None:
    with pytest.raises(UserError) as caught:
        load_system("rgnd")
    assert (caught.value.location, caught.value.key) == ("architecture", "rgnd")
    assert "did you mean 'rngd'? (npusim list archs)" in caught.value.message
    with pytest.raises(UserError, match=r"known: .*h200.*rngd"):
        load_system("quantum")


def test_an_unknown_runtime_names_the_nearest() -> None:
    with pytest.raises(UserError) as caught:
        load_runtime("vlm", "gpu")
    assert (caught.value.location, caught.value.key) == ("runtime", "vlm")
    assert "did you mean 'vllm'? (npusim list runtimes)" in caught.value.message


def test_a_runtime_of_another_unit_names_those_that_fit() -> None:
    with pytest.raises(UserError) as caught:
        load_runtime("vllm", "contraction_processor")
    assert caught.value.location == "--runtime"
    assert caught.value.message == (
        "'vllm' drives a gpu, this chip is a contraction_processor; use one of: furiosa-llm-2026.2, "
        "furiosa-llm-2026.3, furiosa-llm-2026.5b, furiosa-pim, pim-device, pim-server"
    )


RUNTIME_MISTAKES = [
    ("sizes: [1, 2, 4, 8,", "sizes: [1, 4, 2, 8,", -2, "decode_batch", "sizes must rise"),
    ("sizes: [1, 2, 4, 8,", "sizes: [0, 2, 4, 8,", 0, "decode_batch.sizes.0", "greater than 0"),
    ("contexts: [1024, 2048,", "contexts: [2048, 1024,", -2, "attention", "contexts must rise"),
    ("kind: grouped", "kind: groped", -1, "attention", "'grouped'"),
    ("sampling: host", "sampling: hst", 0, "host.sampling", "'host' or 'chip'"),
    ("serves: prefill", "serves: decode", None, "", "paths must serve both decode and prefill"),
]


@pytest.mark.parametrize(("old", "new", "line", "key", "message"), RUNTIME_MISTAKES)
def test_a_runtimes_mistake(tmp_path: Path, old: str, new: str, line: int | None, key: str, message: str) -> None:
    path, start = _changed(tmp_path, FURIOSA, old, new)
    with pytest.raises(UserError) as caught:
        load_runtime(str(path), "contraction_processor")
    assert caught.value.location == (str(path) if line is None else f"{path}:{start + line}")
    assert caught.value.key == key
    assert message in caught.value.message


def test_more_buckets_than_the_record_holds_are_refused(tmp_path: Path) -> None:
    sizes = ", ".join(str(1024 * (index + 1)) for index in range(MAX_BUCKETS + 1))
    old = "contexts: [1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072]"
    path, _ = _changed(tmp_path, FURIOSA, old, f"contexts: [{sizes}]")
    runtime = load_runtime(str(path), "contraction_processor")
    with pytest.raises(UserError) as caught:
        build_runtime(runtime, load_system("rngd"))
    assert caught.value.key == "attention"
    assert f"has {MAX_BUCKETS + 1} sizes; at most {MAX_BUCKETS} are handled" in caught.value.message


def test_a_description_is_frozen() -> None:
    clock = load_system("rngd").chip.unit.clock
    assert isinstance(clock, Quantity)
    with pytest.raises(ValueError):
        clock.value = 2e9
