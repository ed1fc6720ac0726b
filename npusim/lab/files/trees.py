"""What the names of folders and files tell of a run: a row for each habit of naming.

furiosa-perf's tree is that of furiosa-ai/furiosa-perf; MLPerf's that of its submission rules (mlcommons/policies,
submission_rules.adoc, "Inference": closed/<organisation>/results/<system>/<benchmark>/<scenario>); flat names with the
setting in words such as tp8 and conc64 are those of sweeps of serving benchmarks (InferenceMAX).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from npusim.lab.files.lab_run import RunConditions
from npusim.lab.files.naming import shipped_arch, shipped_runtime, told_precision
from npusim.workload.model_names import shipped_model

_SHORT_RUNTIMES = {"trt": "tensorrt-llm", "trtllm": "tensorrt-llm"}
_OTHER_CARD = re.compile(r"pcie|nvl", re.IGNORECASE)
"""Parts of a chip's name that make it another chip than the plain name."""


@dataclass(frozen=True)
class Habit:
    """says: whose names they are; pattern: in a path with / between its parts; told: what a match tells."""

    says: str
    pattern: re.Pattern[str]
    told: Callable[[re.Match[str]], RunConditions]


def from_names(path: Path) -> RunConditions:
    """What the names of a file and of the folders above it tell, by the first habit that they follow."""
    text = path.resolve().as_posix()
    matches = ((habit, habit.pattern.search(text)) for habit in HABITS)
    return next((habit.told(match) for habit, match in matches if match is not None), RunConditions())


def _furiosa_perf(match: re.Match[str]) -> RunConditions:
    model = match["model"]
    return RunConditions(
        model=model,
        precision=told_precision(model or ""),
        device=match["device"],
        cards=int(match["cards"]),
        runtime=f"{match['backend']} {match['version']}",
    )


def _mlperf(match: re.Match[str]) -> RunConditions:
    device, cards = _system(match["system"])
    return RunConditions(
        model=match["model"],
        device=device,
        cards=cards,
        runtime=next((found for word in match["system"].split("_") if (found := _runtime(word))), None),
    )


def _system(name: str) -> tuple[str | None, int | None]:
    """Chip and cards of a system such as H200-SXM-141GBx8_TRT or 8xH100_2xEPYC; a described chip before others."""
    found = []
    for word in name.split("_"):
        match = re.fullmatch(r"(?P<chip>[A-Za-z][\w.+-]*?)x(?P<cards>\d+)", word) or re.fullmatch(
            r"(?P<cards>\d+)x(?P<chip>[A-Za-z][\w.+-]*)", word
        )
        if match is not None:
            found.append((_chip(match["chip"]), int(match["cards"])))
    described = [each for each in found if shipped_arch(each[0]) is not None]
    return next(iter([*described, *found]), (None, None))


def _chip(name: str) -> str:
    """The name without what makers put behind it (form, memory), as far as a described chip is left."""
    parts = name.split("-")
    shorter = ("-".join(parts[:count]) for count in range(len(parts), 0, -1) if not _others(parts[count:]))
    return next((each for each in shorter if shipped_arch(each) is not None), name)


def _others(cut: list[str]) -> bool:
    return any(_OTHER_CARD.match(part) for part in cut)


def _runtime(word: str) -> str | None:
    return _SHORT_RUNTIMES.get(word.lower()) or (word if shipped_runtime(word) is not None else None)


def _flat(match: re.Match[str]) -> RunConditions:
    """Words between underscores; several between hyphens of one that is no name by itself."""
    name = match["name"]
    words = [*name.split("_"), *(part for word in name.split("_") for part in word.split("-"))]

    def first(of: Callable[[str], str | None]) -> str | None:
        return next((word for word in words if of(word) is not None), None)

    def count(key: str) -> int | None:
        return next((int(found[1]) for word in words if (found := re.fullmatch(rf"{key}(\d+)", word))), None)

    return RunConditions(
        model=first(shipped_model),
        precision=told_precision(name),
        device=first(shipped_arch),
        tensor_parallel=count("tp") or None,
        runtime=next((found for word in words if (found := _runtime(word))), None),
        isl=count("isl") or None,
        osl=count("osl") or None,
        users=count("conc") or None,
    )


_DEVICE = r"/(?P<device>[A-Za-z0-9+.-]+)"
_BACKEND = r"_(?P<backend>[A-Za-z-]+)_(?P<version>\d[\w.+-]*?)"
_BELOW = r"(?:/[^/]+/[^/]+/(?P<model>[^/]+)/.+|/.*)"
HABITS = (
    Habit("furiosa-perf", re.compile(rf"{_DEVICE}_(?P<cards>\d+){_BACKEND}{_BELOW}"), _furiosa_perf),
    Habit("older furiosa-perf", re.compile(rf"{_DEVICE}{_BACKEND}_(?P<cards>\d+){_BELOW}"), _furiosa_perf),
    Habit(
        "MLPerf inference",
        re.compile(r"/(?:closed|open)/[^/]+/results/(?P<system>[^/]+)/(?P<model>[^/]+)/[^/]+/"),
        _mlperf,
    ),
    Habit("sweeps of serving", re.compile(r"/(?P<name>(?=[^/]*[_-]tp\d)(?=[^/]*[_-]conc\d)[^/]+)\.\w+$"), _flat),
)
