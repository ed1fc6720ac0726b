"""What the device around a chip makes of a run, in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from npusim.cli.output import figure, table

if TYPE_CHECKING:
    from rich.console import Console


def print_device(console: Console, told: dict[str, Any]) -> None:
    """Burst beside sustained, energy and battery, and what is unknown, a sentence each; or why none is told."""
    if "reason" in told:
        console.print(f"On the device: not told, since {told['reason']}.")
        return
    burst, sustained = told["burst"], told["sustained"]
    rows = [
        ["time per output token", figure(burst["tpot_ms"]), figure(sustained["tpot_ms"]), "ms"],
        ["output throughput", *(figure(each["output_tokens_per_s"], 1) for each in (burst, sustained)), "tokens/s"],
        ["power of the chip", figure(burst["power_w"]), figure(sustained["power_w"]), "W"],
    ]
    console.print(table(["on the device", "burst", "sustained", ""], rows))
    energy, hours = told["joules_per_answer"], told["battery_hours"]
    rows = [
        ["energy of an answer, card", figure(energy["card"], 1), "J"],
        ["energy of an answer, device", figure(energy["device"], 1), "J"],
        ["answers of a charge", figure(told["answers_per_charge"], 0), ""],
        ["battery, continuous use", figure(hours["continuous"], 1), "h"],
        ["battery, everyday use", figure(hours["at_duty"], 1), "h"],
    ]
    console.print(table(["", "", ""], rows, text_columns=1))
    console.print(_throttling(told))
    for sentence in told["unknown"]:
        console.print(f"Unknown: {sentence}.")


def _throttling(told: dict[str, Any]) -> str:
    if told["throttles"] is None:
        return "Whether it throttles is unknown."
    if not told["throttles"]:
        return "It never throttles: what it draws is sustained."
    seconds = figure(told["throttles_after_s"], 0)
    return f"It throttles after {seconds} s of lasting use: {told['limited_by']} is at its limit."
