"""Nothing that npusim prints or writes in Korean is left in English: pages, workbooks, charts and terminals.

Words of Latin letters may be names, units and terms that Korean engineers write so: `korean_allowed.txt` lists them.
What stands in a column of sources, keys or files quotes others, and what holds a digit, a dot or a slash is a name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
from cli_support import tell
from test_certify import SUBMISSION, bench
from test_check import SUMMARY
from test_compare_labs import lab
from test_verified_kinds import CURVE
from visible_support import Drawn, Printed, of_certificate, of_markdown, of_page, of_workbook

from npusim.kperf.charts import CHARTS, write_charts
from npusim.kperf.energy_chart import write_energy_chart
from npusim.kperf.shares import PARTS, SHARE
from npusim.kperf.shares_chart import write_shares_chart
from npusim.kperf.table import KPerfContext, of_model

ALLOWED = frozenset((Path(__file__).parent / "korean_allowed.txt").read_text(encoding="utf-8").split())
QUOTED = {"출처(원문)", "변수", "기술서", "위치", "파일과 행", "정확도 유지율의 출처"}
MANIFEST = "실행 명세"
SHIPPED = ("archs", "models", "runtimes", "grids", "memories", "pims", "neuromorphic", "rules", "loads", "profiles")
_BETWEEN = r"[\s,;:()\[\]{}'\"|~=×·→&]+"
_NAME = r"[0-9_.@#]|^--"
"""What makes a token a name of a file, a key, a version, an option."""
GRID = """name: tiny
title: npusim's own smoke grid, for a first look in seconds
source: chosen by npusim; no measuring protocol uses it
arrival: burst
requests_per_user: 1
points:
  - {isl: 64, osl: 8, users: [1, 4]}
"""
MODEL = "qwen2.5-0.5b"


@cache
def _names() -> frozenset[str]:
    """What is shipped is called by, and the words with capitals of its titles."""
    items = [item for what in SHIPPED for item in tell("list", what, "--json").json["items"]]
    titles = (word for item in items for word in re.split(_BETWEEN, item["title"]) if re.search("[A-Z]", word))
    return frozenset({item["name"] for item in items} | set(titles))


def untold(texts: Iterable[str]) -> set[str]:
    """Words that are in no language but English, each with the text in which it stands."""
    found = set()
    for text in texts:
        tokens = [token.strip(".+?!…") for token in re.split(_BETWEEN, text)]
        plain = [token for token in tokens if not re.search(_NAME, token) and token not in _names()]
        for word in (word for token in plain for word in token.split("/")):
            if re.fullmatch(r"[A-Za-z][A-Za-z-]+", word) and word not in ALLOWED | _names():
                found.add(f"{word}: {text.strip()[:160]}")
    return found


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Drawn]:
    """Files of two chips with their comparison, of a model that fits and of one that does not."""
    folder = tmp_path_factory.mktemp("grid")
    (folder / "tiny.yaml").write_text(GRID, encoding="utf-8")
    words = (
        "--models",
        f"{MODEL},llama-3.1-405b",
        "--grid",
        folder / "tiny.yaml",
        "--cards",
        "1",
        "--report",
        "--workers",
        "1",
    )
    with pytest.MonkeyPatch.context() as patch:
        drawn = Drawn(patch)
        told = tell("kperf", "rngd", "rngd-plus", *words, "--lang", "ko", "--out", folder / "out")
    assert told.code == 0, told.err
    return folder / "out", drawn


def test_words_that_nobody_translated_are_found() -> None:
    assert untold(["카드 1장의 bandwidth"]) == {"bandwidth: 카드 1장의 bandwidth"}
    assert {word.partition(":")[0] for word in untold(["속도 [tokens/s/user]"])} == {"tokens", "user"}
    assert not untold(
        ["TTFT 평균 [ms]", "llama-3.1-8b", "rngd/kernels.csv", "--cards 2", "rngd-plus", "FuriosaAI RNGD"]
    )


def test_pages_of_a_grid_are_korean(grid: tuple[Path, Drawn]) -> None:
    for page in grid[0].rglob("report.html"):
        assert untold(of_page(page, QUOTED)) == set()


def test_workbooks_of_a_grid_are_korean(grid: tuple[Path, Drawn]) -> None:
    books = list(grid[0].rglob("*.xlsx"))
    assert len(books) == 3
    for book in books:
        assert untold(of_workbook(book, QUOTED, MANIFEST)) == set(), book.name


def test_charts_of_a_grid_are_korean_and_whole(grid: tuple[Path, Drawn]) -> None:
    drawn = grid[1]
    assert {name.removeprefix(MODEL) for name in drawn.figures} >= {
        "-time-shares.png",
        "-comparison.png",
        "-ttft-vs-users.png",
    }
    assert untold(drawn.texts()) == set()
    assert list(drawn.cut()) == []


def test_long_names_are_whole_in_english_charts(
    grid: tuple[Path, Drawn], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = pd.read_csv(grid[0] / "rngd-plus" / "kperf.csv", keep_default_na=False, na_values=[""])
    rows = of_model(cells, MODEL).assign(model_title="A model with a rather long name, instruction-tuned 235B-A22B")
    shares = rows[["model", "isl", "osl", "users"]].assign(**{f"{SHARE}{part}": 1 / len(PARTS) for part in PARTS})
    texts = dict.fromkeys(
        ("chip_note", "grid_source", "arrival_text", "interval_text", "calibration_text", "software_text"), ""
    )
    context = KPerfContext(
        "A maker's chip of a long name, second generation (projection)", silicon=False, grid_name="g" * 60, **texts
    )
    drawn = Drawn(monkeypatch)
    for write in (write_charts, write_energy_chart):
        write(rows, context, "long", tmp_path)
    write_shares_chart(rows, shares, context, "long", tmp_path)
    assert len(drawn.figures) == len(CHARTS) + 2
    assert list(drawn.cut()) == []


def test_a_checked_table_is_korean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    printed = Printed(monkeypatch, {"file"})
    told = tell("check", SUMMARY, "--lang", "ko", "--out", tmp_path / "out")
    assert told.code == 0, told.err
    assert untold(printed.texts) == set()
    assert untold(of_workbook(tmp_path / "out" / "check.xlsx", QUOTED, MANIFEST)) == set()


SPREAD = """name: drawn
arch: rngd
models: [qwen2.5-0.5b]
workloads: [{isl: 256, osl: 32, users: [1]}]
vary: {chip.memory.channel_bandwidth: {values: [40 GB/s, 60 GB/s]}, chip.unit.clock: {values: [1 GHz, 1.5 GHz]}}
objectives: {output_tokens_per_s: max, power_w: min}
"""


def test_a_certificate_is_korean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One run fails by its length and by its number; another limit decides nothing."""
    (tmp_path / "run.json").write_text(json.dumps(bench(0.0, duration=2.0)), encoding="utf-8")
    (tmp_path / "submission.yaml").write_text(SUBMISSION, encoding="utf-8")
    printed = Printed(monkeypatch, set())
    told = tell("certify", tmp_path, "--lang", "ko", "--out", tmp_path / "page.html")
    assert told.code == 0, told.err
    assert untold(printed.texts) == set()
    assert untold(of_certificate(tmp_path / "page.html", QUOTED)) == set()


def test_a_comparison_of_labs_is_korean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (lab(tmp_path / name, factor, runs=2) for name, factor in (("1-lab", 1.0), ("2-lab", 1.05)))
    printed = Printed(monkeypatch, set())
    told = tell("compare", first, second, "--lang", "ko", "--out", tmp_path / "page.html")
    assert told.code == 0, told.err
    assert untold(printed.texts) == set()
    assert untold(of_page(tmp_path / "page.html", QUOTED)) == set()


def test_curves_are_korean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a library that is described, of one that is not, and of one beyond the links."""
    point = "points: [{collective: all_gather, bytes: 64MiB, cards: 8, value: 400}]"
    others = [CURVE[CURVE.index("  - name") :].replace("name: all-gather", f"name: 곡선-{number}") for number in (1, 2)]
    others[0] = others[0].replace("    library: nccl\n", "").replace("400", "180")
    others[1] = others[1].replace("400", "20")
    both = point.replace("}]", "}, {collective: all_to_all, bytes: 1MiB, cards: 8, value: 900}]")
    told_in_korean = CURVE.replace(point, both).replace("A library", "라이브러리") + "".join(others)
    own = {"as NCCL": "NCCL 수준", "a test": "시험", "a prototype": "시제품", "name: all-gather": "name: 곡선"}
    for english, korean in own.items():
        told_in_korean = told_in_korean.replace(english, korean)
    (tmp_path / "library.yaml").write_text(told_in_korean, encoding="utf-8")
    printed = Printed(monkeypatch, set())
    told = tell("evaluate", tmp_path / "library.yaml", "--lang", "ko", "--out", tmp_path / "page.html")
    assert told.code == 0, told.err
    assert untold(printed.texts) == set()
    assert untold(of_page(tmp_path / "page.html", QUOTED)) == set()


def test_a_sweep_is_korean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sweep.yaml").write_text(SPREAD, encoding="utf-8")
    printed = Printed(monkeypatch, set())
    told = tell("sweep", tmp_path / "sweep.yaml", "--workers", "1", "--lang", "ko", "--out", tmp_path / "out")
    assert told.code == 0, told.err
    assert untold(printed.texts) == set()
    assert untold(of_page(tmp_path / "out" / "report.html", QUOTED)) - {"drawn: 설계 탐색: drawn"} == set()


def test_a_validation_report_is_korean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = Path(__file__).parents[1] / "validation" / "data" / "npus" / "gaudi-3.csv"
    printed, drawn = Printed(monkeypatch, set()), Drawn(monkeypatch)
    told = tell("validate", table, "--no-interval", "--lang", "ko", "--report", tmp_path / "out")
    assert told.code == 0, told.err
    assert untold(printed.texts) == set()
    assert untold(drawn.texts()) == set()
    for name in ("README.md", "report.md"):
        assert untold(of_markdown(tmp_path / "out" / name)) == set(), name


SERVED = f"rngd {MODEL} --isl 64 --osl 8 --concurrency 2"
PRINTED = (
    *(f"list {what}" for what in SHIPPED),
    "show rngd-plus",
    f"show {MODEL}",
    "show furiosa-llm-2026.3",
    "show loihi-2",
    "show npusim-1",
    f"step rngd {MODEL} --phase decode --batch 2 --context 256 --explain",
    f"step rngd {MODEL} --phase prefill --batch 1 --context 256 --engine event",
    f"run {SERVED} --interval",
    f"precision {MODEL} --scheme fp8",
    "neuromorphic pops-projection --claim 1POPS --neurons 1000000 --fan-in 100",
    "neuromorphic truenorth --claim 58GSOPS --neurons 1000",
)
_COLUMNS_OF_OTHERS = {"source", "number", "of", "key", "number or word", "name", "setting"}


@pytest.mark.parametrize("line", PRINTED)
def test_what_commands_print_is_korean(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    printed = Printed(monkeypatch, _COLUMNS_OF_OTHERS)
    told = tell(*line.split(), "--lang", "ko")
    assert told.code == 0, told.err
    assert any(re.search("[가-힣]", text) for text in printed.texts)
    assert untold(printed.texts) == set()


def test_json_is_the_same_in_every_language() -> None:
    words = ("step", "rngd", MODEL, "--phase", "decode", "--batch", "2", "--context", "256", "--json")
    answers = [tell(*words, "--lang", language).json for language in ("en", "ko")]
    for answer in answers:
        del answer["manifest"]
    assert answers[0] == answers[1]
