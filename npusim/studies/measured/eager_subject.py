"""A block-scaled product that the host launches kernel by kernel, again and again."""

from __future__ import annotations

from dataclasses import dataclass

from npusim.studies.measured.case import Numbers
from npusim.studies.measured.operator_subject import OperatorSubject
from npusim.studies.measured.step_subject import US_PER_S

_MS_PER_S = 1e3


@dataclass(frozen=True)
class EagerSubject:
    """A product of `rows` rows and the cast of its input before it: the loop takes at least its launch time each.

    vLLM gives products of few rows to FlashInfer and the others to DeepGEMM, whose scales begin at multiples of four
    rows and are copied where they do not (vLLM, fp8_utils.py, recalled).
    """

    product: OperatorSubject
    cast: OperatorSubject
    rows: int

    @property
    def arch(self) -> str:
        return self.product.arch

    @property
    def runtime(self) -> str:
        return self.product.runtime

    def predict(self, numbers: Numbers, seed: int) -> dict[str, float]:
        """us, ms and power_w; while the host launches, the chip draws its idle and loaded static power."""
        costs, machine = [part.cost(numbers) for part in (self.cast, self.product)], numbers.machine[0]
        busy_s = sum(float(cost["time_s"]) for cost in costs)
        time_s = max(busy_s, self._launch_s(numbers))
        static_w = float(machine["power_idle"] + machine["power_loaded_static"])
        energy_j = sum(float(cost["energy_j"]) for cost in costs) + (time_s - busy_s) * static_w
        return {"us": time_s * US_PER_S, "ms": time_s * _MS_PER_S, "power_w": energy_j / time_s}

    def _launch_s(self, numbers: Numbers) -> float:
        """Seconds in which the host launches the kernels of one product."""
        observed = numbers.observation
        if self.rows < observed["eager_launch.few_rows"]:
            return observed["eager_launch.few"]
        aligned = self.rows % observed["eager_launch.alignment"] == 0.0
        return observed["eager_launch.many"] + (0.0 if aligned else observed["eager_launch.align"])
