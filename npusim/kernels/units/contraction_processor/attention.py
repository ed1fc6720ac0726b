"""Time of grouped-query attention: the two contractions, the softmax between them."""

from __future__ import annotations

import math

from npusim.compilation import kernel
from npusim.kernels.rates import operand_bytes
from npusim.kernels.units.contraction_processor.contraction import operand_delivery, slice_rate
from npusim.kernels.units.contraction_processor.reduction import on_chip_reduction_time
from npusim.mapping.optable import pair_elements


@kernel
def kv_copies(row, machine, pes):
    """How often K and V are read: once, or by each PE where the query heads do not divide evenly over the PEs.

    Inferred from served models on 8 PEs (SOTA-PNU/RNGD-proj REPORT.md, 32 to 256 users): a further sequence costs the
    bytes of eight KV heads with 28 query heads on 4 KV heads, 12 on 2 and 14 on 2 (Qwen2.5 7B, 1.5B, 0.5B), but no
    more than its own with 16 on 2 (Llama 3.3 70B on four cards).
    """
    if row.heads % pes == 0.0:
        return 1.0
    shared = max(0.0, min(pes, row.heads) / row.kv_heads - 1.0)
    return 1.0 + (1.0 - row.whole) * machine.tcp_kv_copying * shared


@kernel
def computed_heads(row, pes):
    """Query heads that are computed: where PEs have whole heads, as many as make them equal on all."""
    return row.heads + row.whole * (math.ceil(row.heads / pes) * pes - row.heads)


@kernel
def prompt_parts(row):
    """Executions of one attention operator: a chunk that continues a prompt attends to what came before, then to
    itself.

    Fresh prompts of 128 and 384 tokens take 25 and 46 us on 8 PEs, the same chunks after 128 to 896 tokens 90 to 103
    (swsok/heteropilot outputs/rngd_edf_bundle/bundle/tp1/attention.csv).
    """
    return 2.0 if row.query > 1.0 and row.kv > row.query else 1.0


@kernel
def shared_heads_time(row, machine, pes):
    """Seconds in which PEs that share a query head combine their parts: the softmax sums, then the output.

    Each PE has its query heads; where they do not divide evenly, some are on two PEs, and the layer reduces twice more,
    unless the compiler pads them (`whole`).
    Inferred from served models: beyond its bytes a layer costs about 0.16 ms with 16 or 32 query heads on 8 PEs, about
    0.3 ms with 12, 14 or 28 (SOTA-PNU/RNGD-proj REPORT.md, time between tokens of one user).
    """
    if row.heads % pes == 0.0:
        return 0.0
    moved = 2.0 * row.m * row.heads * row.head_dim
    return (1.0 - row.whole) * 2.0 * on_chip_reduction_time(moved, machine, pes)


@kernel
def slice_attention_times(row, machine, pes):
    """(contraction, vector) seconds of attention on `pes` PEs over the pairs of the row.

    KV heads are spread over slices; the query heads of a group and the query tokens fill the lanes. Which pairs are
    computed is the runtime's: a served graph of RNGD takes the whole rectangle of new tokens x context, 297 us for
    1,024 tokens and 532 us for 1,024 more on 8 PEs; a graph of one prompt alone only those below the diagonal, 1,016 us
    on one PE (swsok/heteropilot outputs/rngd_edf_bundle, outputs/rngd_profile/breakdown_attention_tp1.csv).
    """
    slices, heads = pes * machine.tcp_slices_per_pe, computed_heads(row, pes)
    group_rows = math.ceil(row.query * heads / row.kv_heads / machine.tcp_lanes) * machine.tcp_lanes
    scores = row.pairs * row.kv_heads * group_rows / row.query
    macs = scores * pair_elements(row)
    streamed = row.batch * row.kv_heads * row.kv * pair_elements(row) * operand_bytes(row.activation_dtype)
    full_rate = slices * slice_rate(row.activation_dtype, machine) * machine.tcp_contraction_efficiency
    delivery = slices * operand_delivery(machine)
    contraction = max(macs / full_rate, streamed / delivery) / machine.tcp_clock
    vector_rate = slices * machine.tcp_vector_lanes * machine.tcp_clock
    return contraction, heads * row.pairs * machine.tcp_vector_passes_softmax / vector_rate
