"""Two sub-batches of a decode step, of which one is on units in memory while the other is on the chip.

NeuPIMs (Heo et al., ASPLOS 2024) interleaves sub-batches so. Each part reads the weights for itself, and the banks
still serve one side at a time but for what `sharing.beside_host` lets pass.
"""

from __future__ import annotations

from npusim.compilation import kernel
from npusim.kernels.pim_offload import beside_host
from npusim.kernels.power import IDLE, LOADED, cap_headroom, loaded_power, total_energy

_FEWEST = 1.5
"""Of sub-batches: a drawn number between one and two means the nearer."""


@kernel
def splits_batches(runtime):
    """Whether the runtime may split a decoding batch over chip and units."""
    return runtime.offload_sub_batches > _FEWEST


@kernel
def interleave(parts, host_s, layers, machine):
    """Put the step that two sub-batches make together, one on the units while the other is on the chip, into parts[0].

    parts: the two alone, of STEP_COST_DTYPE; host_s: seconds for which each keeps the memory busy for the chip. The
    step ends when the busier of chip, units and banks does, or the longer part alone; the first layer of one part
    finds nothing beside it. Static energy is that of the time that is left, clock and duty those of the slower part; an
    enforced power cap holds it to the time in which its work may be done.
    """
    one, other = parts[0], parts[1]
    on_units = one.pim_s + other.pim_s
    alone = one.time_s + other.time_s
    on_chip = alone - on_units
    memory = host_s[0] + host_s[1]
    banks = max(memory, on_units) + (1.0 - beside_host(machine)) * min(memory, on_units)
    begun = min(one.time_s - one.pim_s, one.pim_s) / layers
    together = max(max(on_chip, on_units), max(banks, max(one.time_s, other.time_s))) + begun
    left = parts[0]
    for index in range(len(left.parts_j)):
        left.parts_j[index] += other.parts_j[index]
    clock = min(one.clock, other.clock)
    loaded = loaded_power(clock, machine)
    work = total_energy(left.parts_j) - left.parts_j[IDLE] - left.parts_j[LOADED]
    elapsed = max(min(alone, together), work / cap_headroom(clock, machine))
    share = elapsed / alone
    left.parts_j[IDLE], left.parts_j[LOADED] = elapsed * machine.power_idle, elapsed * loaded
    left.energy_j = work + elapsed * (machine.power_idle + loaded)
    left.contraction_s = share * (one.contraction_s + other.contraction_s)
    left.vector_s = share * (one.vector_s + other.vector_s)
    left.memory_s = share * (one.memory_s + other.memory_s)
    left.link_s = share * (one.link_s + other.link_s)
    left.overhead_s = share * (one.overhead_s + other.overhead_s)
    left.memory_bytes = one.memory_bytes + other.memory_bytes
    left.flops = one.flops + other.flops
    left.clock, left.duty = clock, min(one.duty, other.duty)
    left.pim_s, left.time_s = share * on_units, elapsed
    left.sub_batches = 2.0
