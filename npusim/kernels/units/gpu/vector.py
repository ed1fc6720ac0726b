"""Time of element-wise and row-wise operators on the vector lanes of a GPU."""

from __future__ import annotations

import math

from npusim.compilation import kernel
from npusim.kernels.rates import of_op
from npusim.mapping.optable import NORM, SAMPLE, SOFTMAX


@kernel
def gpu_vector_time(row, machine):
    """Seconds of compute: elements x passes / (lanes x clock); a type conversion is one pass.

    Blocks walk whole rows: the first of each SM takes `first_time`, the lanes are busy with the others.
    """
    elements = row.m * row.n
    if row.op in (NORM, SAMPLE, SOFTMAX):
        elements = max(0.0, row.m - machine.gpu_sms) * row.n
    lanes = machine.gpu_sms * machine.gpu_vector_lanes_per_sm * machine.gpu_vector_lane_efficiency[row.library]
    return elements * _passes(row.op, machine) / (lanes * machine.gpu_clock)


@kernel
def _passes(op, machine):
    if op == SOFTMAX:
        return machine.gpu_vector_passes_softmax
    return of_op(
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
    return 0.0 if math.isnan(pass_time) else _passes(row.op, machine) * pass_time
