"""Time of element-wise and row-wise operators on the vector engines."""

from __future__ import annotations

import math

from npusim.compilation import kernel
from npusim.hardware.machine import UNIT_CONTRACTION_PROCESSOR
from npusim.mapping.optable import NORM, ROPE, SAMPLE, SILU, SOFTMAX


@kernel
def _of_op(op, norm, rope, activation, sample):
    if op == NORM:
        return norm
    if op == ROPE:
        return rope
    if op == SILU:
        return activation
    return sample if op == SAMPLE else 1.0


@kernel
def program_time(row, machine):
    """Fixed seconds of a vector operator on a contraction processor: its programs, one after the other."""
    programs = _of_op(
        row.op,
        machine.tcp_vector_programs_norm,
        machine.tcp_vector_programs_rope,
        machine.tcp_vector_programs_activation,
        machine.tcp_vector_programs_sample,
    )
    return programs * machine.tcp_program_time


@kernel
def vector_time(row, machine, pes):
    """Seconds of compute: elements x passes / (lanes x clock); a type conversion is one pass.

    Blocks of a GPU walk whole rows: the first of each SM takes `first_time`, the lanes are busy with the others.
    """
    elements = row.m * row.n
    if machine.unit_kind == UNIT_CONTRACTION_PROCESSOR:
        passes = _of_op(
            row.op,
            machine.tcp_vector_passes_norm,
            machine.tcp_vector_passes_rope,
            machine.tcp_vector_passes_activation,
            machine.tcp_vector_passes_sample,
        )
        lanes = pes * machine.tcp_slices_per_pe * machine.tcp_vector_lanes
        return elements * passes / (lanes * machine.tcp_clock)
    passes = _gpu_passes(row.op, machine)
    if row.op in (NORM, SAMPLE, SOFTMAX):
        elements = max(0.0, row.m - machine.gpu_sms) * row.n
    lanes = machine.gpu_sms * machine.gpu_vector_lanes_per_sm * machine.gpu_vector_lane_efficiency[row.library]
    return elements * passes / (lanes * machine.gpu_clock)


@kernel
def _gpu_passes(op, machine):
    if op == SOFTMAX:
        return machine.gpu_vector_passes_softmax
    return _of_op(
        op,
        machine.gpu_vector_passes_norm,
        machine.gpu_vector_passes_rope,
        machine.gpu_vector_passes_activation,
        machine.gpu_vector_passes_sample,
    )


@kernel
def first_time(row, machine):
    """Seconds in which the threads of a GPU do their first work, however little there is.

    A block walks a row's columns one by one: on one H200 a softmax or norm of 1 row and of 128 takes the same time, in
    proportion to the columns. Where operators know no rows, a thread passes over its few elements: there a copy of 8 KB
    takes 1.2 us, an addition 1.3 and a SiLU 1.75.
    """
    library = row.library
    if row.op == NORM:
        return row.n * machine.gpu_vector_row_step_norm[library]
    if row.op == SOFTMAX:
        return row.n * machine.gpu_vector_row_step_softmax[library]
    if row.op == SAMPLE:
        return row.n * machine.gpu_vector_row_step_sample[library]
    pass_time = machine.gpu_vector_pass_time[library]
    return 0.0 if math.isnan(pass_time) else _gpu_passes(row.op, machine) * pass_time
