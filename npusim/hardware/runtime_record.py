"""The runtime as a flat record: compiled shapes, step paths and host times for the kernels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from npusim.errors import UserError
from npusim.hardware.flat import MAX_PARTS, empty_record, fill, quantity_fields, record_dtype
from npusim.hardware.kv_layouts import LAYOUTS
from npusim.hardware.runtime import BucketShapes, GroupedAttention, Kernels, Runtime, UniformAttention
from npusim.hardware.system import System

SHAPES_EXACT, SHAPES_BUCKETS, SHAPES_SLOTS = 0, 1, 2
ATTENTION_RAGGED, ATTENTION_UNIFORM, ATTENTION_GROUPED = 0, 1, 2
DECODE, PREFILL = 0, 1
GRAPH_OPERATOR, GRAPH_LAYER, GRAPH_STEP = range(3)
MAX_BUCKETS = 64
"""Length of the record's tables of compiled shapes."""

_SHAPE_CODES = {"exact": SHAPES_EXACT, "buckets": SHAPES_BUCKETS, "slots": SHAPES_SLOTS}
_ATTENTION_CODES = {"ragged": ATTENTION_RAGGED, "uniform": ATTENTION_UNIFORM, "grouped": ATTENTION_GROUPED}
_PHASE_CODES = {"decode": DECODE, "prefill": PREFILL}
_GRAPH_CODES = {"operator": GRAPH_OPERATOR, "layer": GRAPH_LAYER, "step": GRAPH_STEP}
_BUCKETS = (MAX_BUCKETS,)
RUNTIME_DTYPE = record_dtype(
    quantity_fields(Runtime),
    [
        ("batch_shapes", np.int64),
        ("batch_count", np.int64),
        ("batch_sizes", np.int64, _BUCKETS),
        ("chunk_shapes", np.int64),
        ("chunk_count", np.int64),
        ("chunk_sizes", np.int64, _BUCKETS),
        ("tokenwise_count", np.int64),
        ("tokenwise_sizes", np.int64, _BUCKETS),
        ("attention_shapes", np.int64),
        ("context_count", np.int64),
        ("contexts", np.int64, _BUCKETS),
        ("pes_beyond_fused", np.bool_),
        ("kv_layout", np.int64),
        ("activations_in_sram", np.bool_),
        ("experts_when_compiled", np.bool_),
        ("casts_fused", np.bool_),
        ("kv_common", np.float64),
        ("host_sampling", np.bool_),
        ("path_count", np.int64),
        ("path_serves", np.int64, (MAX_PARTS,)),
        ("path_graph", np.int64, (MAX_PARTS,)),
        ("linear_library", np.int64),
        ("linear_fp8_library", np.int64),
        ("attention_library", np.int64),
        ("attention_fp8_library", np.int64),
        ("vector_library", np.int64),
        ("grouped_library", np.int64),
        ("latent_library", np.int64),
        ("latent_prompt_library", np.int64),
        ("offload_linear", np.bool_),
        ("offload_attention", np.bool_),
        ("offload_copies", np.bool_),
        ("offload_open", np.bool_),
    ],
)


def build_runtime(runtime: Runtime, system: System) -> np.ndarray:
    """The record of a runtime on `system`, an array of shape (1,) of RUNTIME_DTYPE; seconds, tokens, bytes."""
    records = empty_record(RUNTIME_DTYPE)
    record = records[0]
    fill(record, runtime)
    record["batch_shapes"] = _SHAPE_CODES[runtime.decode_batch.kind]
    record["chunk_shapes"] = _SHAPE_CODES[runtime.prefill_chunk.kind]
    record["attention_shapes"] = _ATTENTION_CODES[runtime.attention.kind]
    if isinstance(runtime.decode_batch, BucketShapes):
        record["batch_count"] = _put(record["batch_sizes"], runtime.decode_batch.sizes, runtime, "decode_batch")
    if isinstance(runtime.prefill_chunk, BucketShapes):
        record["chunk_count"] = _put(record["chunk_sizes"], runtime.prefill_chunk.sizes, runtime, "prefill_chunk")
    if runtime.tokenwise is not None:
        record["tokenwise_count"] = _put(record["tokenwise_sizes"], runtime.tokenwise.sizes, runtime, "tokenwise")
    if isinstance(runtime.attention, GroupedAttention):
        record["context_count"] = _put(record["contexts"], runtime.attention.contexts, runtime, "attention")
    if isinstance(runtime.attention, UniformAttention):
        record["context_count"] = _put(record["contexts"], (runtime.attention.multiple,), runtime, "attention")
    record["kv_layout"] = list(LAYOUTS).index(runtime.kv.layout)
    if runtime.kept_in_sram is None:
        record["kept_in_sram"] = 0.0
    record["pes_beyond_fused"] = runtime.pes_beyond == "fused"
    record["activations_in_sram"] = runtime.activations_in_sram
    record["experts_when_compiled"] = runtime.experts_when_compiled
    record["casts_fused"] = runtime.casts_fused
    record["kv_common"] = 0.0
    record["host_sampling"] = runtime.host.sampling == "host"
    record["path_count"] = len(runtime.paths)
    for index, path in enumerate(runtime.paths):
        record["path_serves"][index] = _PHASE_CODES[path.serves]
        record["path_graph"][index] = _GRAPH_CODES[path.graph]
    _choose_libraries(record, runtime, system)
    _choose_offload(record, runtime, system)
    return records


def _choose_offload(record: np.void, runtime: Runtime, system: System) -> None:
    """What goes to PIM units: nothing where the chip has none or the runtime does not know them."""
    pim, offload = system.chip.pim, runtime.offload
    if pim is None or offload is None:
        return
    record["offload_linear"] = offload.policy in ("linear", "both") and pim.unit.linear is not None
    record["offload_attention"] = offload.policy in ("attention", "both") and pim.unit.attention is not None
    record["offload_copies"] = record["offload_linear"] and offload.weights == "copied"
    record["offload_open"] = offload.weights == "chosen"


def drives(runtime: Runtime, system: System) -> bool:
    """Whether a runtime is for the architecture's kind of unit, and all kernel libraries that it uses are there."""
    same_kind = runtime.unit == system.chip.unit.kind
    return same_kind and all(wanted in known for _, wanted, known in _libraries(runtime, system))


def _libraries(runtime: Runtime, system: System) -> Iterator[tuple[str, str, Mapping[str, int]]]:
    """By kind of work: the library that the runtime uses, and those that can do it, with their indices."""
    if runtime.kernels is None:
        return
    for what, known in system.chip.unit.libraries().items():
        wanted = getattr(runtime.kernels, what) or _usual(what, known, runtime.kernels)
        if wanted is not None:
            yield what, wanted, known


def _choose_libraries(record: np.void, runtime: Runtime, system: System) -> None:
    for what, wanted, known in _libraries(runtime, system):
        if wanted not in known:
            raise UserError(
                runtime.name, f"kernels.{what}", f"'{wanted}' is no library of {system.name}; it has {', '.join(known)}"
            )
        record[f"{what}_library"] = known[wanted]


def _usual(what: str, known: Mapping[str, int], kernels: Kernels) -> str | None:
    """The library that is used where the runtime names none; None where the chip has none that can do it."""
    same = {"attention_fp8": kernels.attention, "linear_fp8": kernels.linear}
    return same.get(what) or next(iter(known), None)


def _put(target: np.ndarray, sizes: tuple[int, ...], runtime: Runtime, key: str) -> int:
    if len(sizes) > MAX_BUCKETS:
        raise UserError(runtime.name, key, f"has {len(sizes)} sizes; at most {MAX_BUCKETS} are handled")
    target[: len(sizes)] = sizes
    return len(sizes)
