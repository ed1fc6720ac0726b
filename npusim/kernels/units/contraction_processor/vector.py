"""Time of element-wise and row-wise operators on the vector engines of a contraction processor."""

from __future__ import annotations

from npusim.compilation import kernel
from npusim.kernels.rates import of_op
from npusim.kernels.units.contraction_processor.fusion import clocked


@kernel
def program_time(row, machine):
    """Fixed seconds of a vector operator on a contraction processor: its programs, one after the other."""
    programs = of_op(
        row.op,
        machine.tcp_vector_programs_norm,
        machine.tcp_vector_programs_rope,
        machine.tcp_vector_programs_activation,
        machine.tcp_vector_programs_sample,
    )
    return programs * clocked(machine.tcp_program_time, machine)


@kernel
def vector_time(row, machine, pes):
    """Seconds of compute: elements x passes / (lanes x clock); a type conversion is one pass."""
    elements = row.m * row.n
    passes = of_op(
        row.op,
        machine.tcp_vector_passes_norm,
        machine.tcp_vector_passes_rope,
        machine.tcp_vector_passes_activation,
        machine.tcp_vector_passes_sample,
    )
    lanes = pes * machine.tcp_slices_per_pe * machine.tcp_vector_lanes
    return elements * passes / (lanes * machine.tcp_clock)
