"""Published kernels in loops: operators one after the other, again and again, and a power sensor that lags behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from npusim.evidence.measured.case import Numbers
from npusim.evidence.predictors.operator import OperatorPredictor
from npusim.units import MS_PER_S, US_PER_S


@dataclass(frozen=True)
class LoopPredictor:
    """operators: of one turn; eager_rows: rows of a block-scaled product whose kernels the host launches one by one.

    A turn of those takes at least its launch time. vLLM gives few rows to FlashInfer and more to DeepGEMM, whose scales
    begin at multiples of four rows and are copied where they do not (vLLM, fp8_utils.py, recalled).
    """

    operators: tuple[OperatorPredictor, ...]
    eager_rows: int | None = None

    @property
    def arch(self) -> str:
        return self.operators[0].arch

    @property
    def runtime(self) -> str:
        return self.operators[0].runtime

    def predict(self, numbers: Numbers, seed: int) -> dict[str, float]:
        """us, ms of a turn and power_w as read: of what the board draws beyond idle, the part that the sensor sees."""
        costs, machine = [operator.cost(numbers) for operator in self.operators], numbers.machine[0]
        busy_s = sum(float(cost["time_s"]) for cost in costs)
        time_s = max(busy_s, self._launch_s(numbers.observation))
        idle_w = float(machine["power_idle"])
        waiting_j = (time_s - busy_s) * (idle_w + float(machine["power_loaded_static"]))
        drawn_w = (sum(float(cost["energy_j"]) for cost in costs) + waiting_j) / time_s
        power_w = idle_w + numbers.observation["loop_power_seen"] * (drawn_w - idle_w)
        return {"us": time_s * US_PER_S, "ms": time_s * MS_PER_S, "power_w": power_w}

    def _launch_s(self, observed: Mapping[str, float]) -> float:
        """Seconds in which the host launches the kernels of a turn; 0 where a graph holds them."""
        if self.eager_rows is None:
            return 0.0
        if self.eager_rows < observed["eager_launch.few_rows"]:
            return observed["eager_launch.few"]
        aligned = self.eager_rows % observed["eager_launch.alignment"] == 0.0
        return observed["eager_launch.many"] + (0.0 if aligned else observed["eager_launch.align"])
