"""Matrix products of published kernel tables: loops, so that the power limit acts.

Block-scaled products quantise their activations first: several kernels, which may have been launched one by one.
"""

from __future__ import annotations

from npusim.studies.measured.case import Case, Skip
from npusim.studies.measured.collect import Figure, cases_of, each_row, require_unit
from npusim.studies.measured.operator_rows import linear
from npusim.studies.measured.operator_subject import EagerSubject, OperatorSubject
from npusim.studies.measured.placement import scheme
from npusim.studies.measured.sources import sources
from npusim.studies.measured.step_subject import GPU_RUNTIME
from npusim.studies.measured.tables import Row, Table

_BLOCK_SCALED = "_block"


def cases(table: Table, arch: str) -> list[Case | Skip]:
    """ms, and power_w where it is given."""
    require_unit(arch, "gpu", table)
    return each_row(table, lambda row: _cases(row, arch))


def _cases(row: Row, arch: str) -> list[Case]:
    dtype = scheme(row.text("gemm_dtype"))
    fields = linear(arch, dtype, row.count("m"), row.count("n"), row.count("k"))
    block_scaled = row.text("gemm_dtype").endswith(_BLOCK_SCALED)
    library = "block-fp8" if block_scaled else "cublas"
    operator = OperatorSubject(arch, GPU_RUNTIME, fields, capped=True, library=library)
    spreads = sources().spreads
    return cases_of(
        row,
        (
            Figure("ms", "ms", spreads.public_kernel.value, main=True),
            Figure("power_w", "power_w", spreads.public_power.value),
        ),
        EagerSubject(operator) if block_scaled else operator,
        group=f"{row.text('kernel_source')} {dtype}",
        model=f"width {min(row.count('n'), row.count('k'))}",
        dimensions={
            "dtype": dtype,
            "backend": row.text("kernel_source"),
            **{name: _octave(row.count(name)) for name in ("m", "n", "k")},
        },
    )


def _octave(size: int) -> str:
    """The power of two at or below a size."""
    return str(1 << (size.bit_length() - 1))
