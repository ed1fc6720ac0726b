"""Matrix products of published kernel tables, in loops over several copies, so that the L2 cache does not help.

Block-scaled products cast their activations first, in kernels that were launched one by one.
"""

from __future__ import annotations

from npusim.evidence.measured.case import Case
from npusim.evidence.measured.collect import Figure, cases_of
from npusim.evidence.measured.kind import TableKind, of_chip
from npusim.evidence.measured.operator_rows import Fields, linear, vector
from npusim.evidence.measured.placement import scheme
from npusim.evidence.measured.sources import sources
from npusim.evidence.measured.tables import Row
from npusim.evidence.predictors.loop import LoopPredictor
from npusim.evidence.predictors.operator import OperatorPredictor
from npusim.evidence.predictors.step import GPU_RUNTIME
from npusim.mapping.optable import CAST

_BLOCK_SCALED = "_block"
_LIBRARY, _BLOCK_LIBRARY = "vllm-cublas", "block-fp8"
_CAST_MOVES = 1.5
"""Elements of 16 bits that a cast to 8 moves for each that it casts."""


def _cases(row: Row, arch: str) -> list[Case]:
    """ms, and power_w where it is given."""
    dtype = scheme(row.text("gemm_dtype"))
    m, n, k = row.count("m"), row.count("n"), row.count("k")
    block_scaled = row.text("gemm_dtype").endswith(_BLOCK_SCALED)
    product = _looped(arch, linear(arch, dtype, m, n, k), _BLOCK_LIBRARY if block_scaled else _LIBRARY)
    cast = _looped(arch, vector(CAST, m, k, _CAST_MOVES * k), _BLOCK_LIBRARY)
    predictor = LoopPredictor((cast, product), m) if block_scaled else LoopPredictor((product,))
    spreads = sources().spreads
    return cases_of(
        row,
        (
            Figure("ms", "ms", spreads.public_kernel.value, main=True),
            Figure("power_w", "power_w", spreads.public_power.value),
        ),
        predictor,
        group=f"{row.text('kernel_source')} {dtype} of width {_octave(min(n, k))}",
        model=f"width {min(n, k)}",
        dimensions={
            "dtype": dtype,
            "backend": row.text("kernel_source"),
            **{name: _octave(row.count(name)) for name in ("m", "n", "k")},
        },
    )


def _looped(arch: str, fields: Fields, library: str) -> OperatorPredictor:
    return OperatorPredictor(arch, GPU_RUNTIME, fields, settled="loop_settled", libraries=(("linear", library),))


def _octave(size: int) -> str:
    """The power of two at or below a size."""
    return str(1 << (size.bit_length() - 1))


KIND = TableKind(
    name="public_gemm",
    columns="kernel_source gemm_dtype m n k ms",
    main="ms",
    telling=("dtype", "m"),
    cases=of_chip(_cases, "gpu"),
    regime=lambda case: "served gemm",
)
