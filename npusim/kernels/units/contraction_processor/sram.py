"""What the SRAM of the working PEs holds and passes: activations, tiles on their way, weights that stay."""

from __future__ import annotations

from npusim.compilation import kernel
from npusim.kernels.rates import operand_bytes
from npusim.mapping.grouped import joined_rows
from npusim.mapping.optable import ATTENTION, COLLECTIVE, LINEAR, pair_elements

_HALF = 0.5
"""Of the SRAM activations take at most half, and of what they leave one tile takes at most half: the next is loaded
meanwhile. A compiler's choice, assumed: RNGD's tiles of 3.5 MiB a PE are far below both."""
_RESULT_BYTES = 2.0
_SCORE_BYTES = 4.0


@kernel
def sram_bytes(machine, pes):
    """Bytes of SRAM of `pes` PEs."""
    return pes * machine.tcp_slices_per_pe * machine.tcp_sram_per_slice


@kernel
def spilled_bytes(row, machine, runtime):
    """Bytes of a row's activations that pass through main memory: what does not fit into half of the SRAM, or all where
    the runtime keeps none there."""
    if row.kind == COLLECTIVE:
        return 0.0
    if not runtime.activations_in_sram:
        return row.activation_bytes
    return max(0.0, row.activation_bytes - _HALF * sram_bytes(machine, row.pes))


@kernel
def place(rows, count, machine, runtime):
    """Set `spilled`, `tile` and `stays` of the rows of a step: what passes through memory, and what SRAM holds.

    Activations come first, then two tiles of weights for each PE, one multiplied and one loaded: a tile is no larger
    than the registers that it is multiplied from. Of what is left the runtime keeps the part `kept_in_sram` for weights
    and KV that stay from step to step, of all operators alike; experts do not stay, nor do rows of tables.
    """
    pes = rows[0].pes
    resident = needed = 0.0
    for index in range(count):
        rows[index].spilled = spilled_bytes(rows[index], machine, runtime)
        resident = max(resident, rows[index].activation_bytes - rows[index].spilled)
        if _can_stay(rows[index]):
            needed += rows[index].repeat * (rows[index].weight_bytes + rows[index].kv_read_bytes)
    # Rows whose activations pass through memory in any case leave the SRAM to tiles.
    room = sram_bytes(machine, pes) - (resident if runtime.activations_in_sram else 0.0)
    registers = max(machine.tcp_register_file_per_slice, machine.tcp_packet)
    tile = min(_HALF * room / pes, machine.tcp_slices_per_pe * registers)
    left = max(0.0, room - pes * machine.tcp_weight_tile / _HALF)
    stays = min(1.0, runtime.kept_in_sram * left / needed) if needed > 0.0 else 0.0
    for index in range(count):
        rows[index].tile = tile
        rows[index].stays = stays if _can_stay(rows[index]) else 0.0


@kernel
def _can_stay(row):
    return row.matrices == 0.0 and (row.kind == LINEAR or row.kind == ATTENTION)


@kernel
def port_time(byte_count, machine, pes):
    """Seconds in which `byte_count` bytes pass the SRAM of `pes` PEs, whoever reads or writes them."""
    slices = pes * machine.tcp_slices_per_pe
    return byte_count / (slices * machine.tcp_sram_bandwidth_per_slice * machine.tcp_clock)


@kernel
def passed_bytes(row, tiles, machine):
    """Bytes that a row reads from and writes to SRAM: operands as they stream past, results, and what DMA moves.

    Weights, written by DMA, stream past once for all tokens that accumulate together; tokens fill the registers again
    for each tile, or the weights of the tile do where that is less (as in engine/event/tiling).
    """
    moved = row.weight_bytes + row.kv_read_bytes + row.kv_write_bytes + row.spilled
    if row.kind == LINEAR:
        slices = row.pes * machine.tcp_slices_per_pe
        each = operand_bytes(row.activation_dtype)
        matrices = row.touched if row.matrices > 0.0 else 1.0
        weights = matrices * row.n * row.k * each
        tokens = row.m / matrices
        passes = accumulations(tokens, machine)
        filled = min(weights, tiles * tokens * row.k * each * slices)
        return moved + passes * weights + filled + _RESULT_BYTES * joined_rows(row) * row.n
    if row.kind == ATTENTION:
        read = row.batch * row.kv_heads * row.kv * pair_elements(row) * operand_bytes(row.activation_dtype)
        return moved + read + _SCORE_BYTES * row.pairs * row.heads
    return moved + row.activation_bytes


@kernel
def accumulations(tokens, machine):
    """How often weights stream past `tokens` tokens, of which a slice's accumulators hold so many at a time."""
    # -(-a // b) rounds up.
    return max(1.0, -(-tokens // machine.tcp_accumulators_per_slice))
