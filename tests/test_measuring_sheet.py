"""The sheet that a lab fills in: what it asks, and that npusim check judges what is filled in and nothing else."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest
from cli_support import tell
from test_kperf_output import CONTEXT, MANIFEST, PROVENANCES, fake_cells

from npusim.conditions.table import CONDITIONS
from npusim.errors import UserError
from npusim.kperf.measuring import ASKED, HEADINGS, MEASURING_COLUMNS
from npusim.kperf.publish import publish
from npusim.kperf.table import COLUMNS
from npusim.lab.files.folder import hand_in
from npusim.lab.files.lab_run import LabRun
from npusim.metric_row import Shown
from npusim.metrics import shown
from npusim.words import LANGUAGES, speaker

MODEL = "Llama 3.1 8B"
SHEET = f"{MODEL} measured"
GRID = ((128, 128, 8), (1024, 1024, 8))
TOLD = {
    "Serving software": "furiosa-llm 2026.3.1",
    "Number format": "FP8",
    "KV format": "bf16",
    "Cards": 1,
    "Chips that share every layer": 1,
    "Parallel plan": "tp1",
    "Batch limit": 128,
    "Prefix cache": "off",
    "Prompts": "different",
    "Compiled artifact": "furiosa-ai/Llama-3.1-8B-Instruct-FP8",
    "SDK and driver": "2026.3.1",
    "Firmware": "1.8.0",
    "Dataset of the prompts": "random tokens",
    "Seed of the prompts": 7,
    "End of sequence ignored": "yes",
    "Arrival of the requests": "burst",
    "Warm-up": "one pass",
    "Repeats of each row": 3,
    "Power meter": "furiosa-smi",
    "Scope of the watts": "cards",
    "Date of the measurement": "2026-11-30",
}
FIGURES = {"TTFT mean": 97.31, "TPOT mean": 19.27, "Output throughput": 51.72, "Power mean": 84.2}
Filled = Callable[..., Path]


def _heading(name: str) -> str:
    return next(column.label for column in MEASURING_COLUMNS if column.heading == f"{name}, measured")


def _cell(sheet: Any, heading: str) -> Any:
    """The first cell under a heading of the table."""
    found = next(cell for row in sheet.iter_rows() for cell in row if cell.value == heading)
    return found.offset(row=1)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workbook as npusim kperf writes it."""
    folder = tmp_path_factory.mktemp("empty")
    publish(fake_cells(1, grid=GRID), PROVENANCES, MANIFEST, CONTEXT, folder)
    return folder / "kperf.xlsx"


@pytest.fixture
def filled(empty: Path, tmp_path: Path) -> Filled:
    """`filled(told, figures, change)`: the workbook with conditions, and figures of its first row."""

    def fill(
        told: Mapping[str, Any] = TOLD,
        figures: Mapping[str, Any] = FIGURES,
        change: Callable[[Any], None] = lambda book: None,
    ) -> Path:
        book = openpyxl.load_workbook(empty)
        sheet = book[SHEET]
        for row in sheet.iter_rows(max_row=40):
            if row[0].value in told:
                row[1].value = told[row[0].value]
        for name, value in figures.items():
            _cell(sheet, _heading(name)).value = value
        change(book)
        path = tmp_path / "lab.xlsx"
        book.save(path)
        return path

    return fill


def _one(path: Path) -> LabRun:
    (run,) = hand_in(path).runs
    return run


def _line(path: Path) -> str:
    with pytest.raises(UserError) as told:
        hand_in(path)
    assert "\n" not in str(told.value)
    return str(told.value)


def test_every_metric_and_condition_is_asked() -> None:
    names = {column.name for column in MEASURING_COLUMNS}
    assert {f"measured_{row.name}" for row in shown(Shown.FOLDED)} <= names
    assert {"accuracy_score", "accuracy_task"} <= names
    asked = {each.name for each in ASKED}
    assert {each.name for each in CONDITIONS} | {"artifact", "dataset", "power_scope", "ignore_eos"} <= asked
    for language in LANGUAGES:
        say = speaker(language)
        labels = [
            column.label_in(say) for column in {item.name: item for item in (*COLUMNS, *MEASURING_COLUMNS)}.values()
        ]
        assert len(set(labels)) == len(labels), language
        titles = [say(each.title) for each in ASKED] + [say(heading) for heading in HEADINGS]
        assert len(set(titles)) == len(titles), language


def test_what_is_filled_in_becomes_a_run_under_its_conditions(filled: Filled) -> None:
    run = _one(filled())
    assert {name: figure.value for name, figure in run.figures.items()} == {
        "ttft_ms_mean": 97.31, "tpot_ms_mean": 19.27, "output_tokens_per_s": 51.72, "power_w_mean": 84.2,
    }  # fmt: skip
    wanted = {
        "model": "llama-3.1-8b", "device": "rngd", "isl": 128, "osl": 128, "users": 1, "precision": "fp8",
        "kv_precision": "bf16", "runtime": "furiosa-llm 2026.3.1", "cards": 1, "tensor_parallel": 1, "plan": "tp1",
        "max_sequences": 128, "prefix_caching": False, "prompts": "different",
    }  # fmt: skip
    assert run.setting.values() == wanted
    conduct = run.conduct
    assert (conduct.arrival, conduct.lengths_fixed, conduct.power_scope) == ("burst", True, "cards")
    assert (conduct.warm_up, conduct.firmware, conduct.sdk, conduct.date) == (
        "one pass",
        "1.8.0",
        "2026.3.1",
        "2026-11-30",
    )
    told = " ".join(conduct.notes)
    assert all(part in told for part in ("FP8", "random tokens", "dataset seed: 7", "repeats: 3", "furiosa-smi"))
    assert not conduct.remarks


def test_a_workbook_that_libreoffice_saved_is_read(filled: Filled) -> None:
    """With its own styles, shared strings and extents, and the value that it computed of a formula."""
    saved, own = _one(SAVED), _one(filled())
    assert (saved.setting, saved.conduct) == (own.setting, own.conduct)
    figures = dict(saved.figures)
    assert figures.pop("total_tokens_per_s").value == 103.44
    assert figures == own.figures


def test_what_is_not_told_stays_open(filled: Filled) -> None:
    run = _one(filled({}))
    assert set(run.setting.told) == {"model", "device", "isl", "osl", "users"}
    assert not run.conduct.lengths_fixed and run.conduct.power_scope is None
    assert "power_w_mean" not in run.figures and any("power_w_mean 84.2" in note for note in run.conduct.notes)
    assert any("is not told" in remark for remark in run.conduct.remarks)
    assert "power_w_mean" not in _one(filled(TOLD | {"Scope of the watts": "wall"})).figures


def test_predictions_copied_as_measurements_are_named(filled: Filled, empty: Path) -> None:
    """In full, or as the sheet prints them; not an honest run that happens to come near."""
    table = openpyxl.load_workbook(empty)[MODEL]
    heads = {cell.value: cell.column for cell in table[5]}
    names = [*FIGURES, "Total throughput", "Speed per user", "Energy efficiency"]
    by_name = {column.heading: column for column in COLUMNS}
    full = {name: table.cell(6, heads[by_name[name].label]).value for name in names}
    printed = {name: f"{value:,.{by_name[name].number.partition('.')[2].count('0')}f}" for name, value in full.items()}
    for copy in (full, printed, {name: round(value, 4) for name, value in full.items()}):
        assert _one(filled(TOLD, copy)).conduct.copied
    near = {name: float(f"{value * 1.002:.5g}") for name, value in full.items()}
    coarse = {name: float(f"{value:.2g}") for name, value in full.items()}
    for honest in (near, coarse, full | {"TTFT mean": 97.31}, {"TPOT mean": full["TPOT mean"]}):
        assert not _one(filled(TOLD, honest)).conduct.copied


def test_empty_cells_are_not_judged(filled: Filled, empty: Path) -> None:
    words = dict(zip(FIGURES, ("N/A", "-", " ", "#N/A"), strict=True))
    assert "no measured value is filled in" in _line(filled(TOLD, words))
    assert "no measured value is filled in" in _line(empty)
    half = _one(filled(TOLD | {"KV format": "n/a"}, words | {"TPOT mean": "19.27"}))
    assert list(half.figures) == ["tpot_ms_mean"] and half.setting.kv_precision is None


SAVED = Path(__file__).parent / "samples" / "workbooks" / "saved-by-libreoffice.xlsx"
PUBLISHED = Path(__file__).parents[1] / "validation" / "data" / "rngd" / "serving.csv"


def test_published_rows_typed_into_the_sheet_are_plausible(filled: Filled) -> None:
    """Runs of a third party on one RNGD (Llama 3.1 8B, 1,024 in and 256 out) under the conditions that it published:
    no honest lab is accused."""
    table = pd.read_csv(PUBLISHED)
    one = (table["model"] == "Llama-3.1-8B-Instruct") & (table["cards"] == "1") & (table["isl"] == 1024)
    names = {"throughput_total": "Output throughput", "itl_p50": "ITL p50"}
    rows = table[one & (table["osl"] == 256) & table["metric"].isin(names)]
    untold = ("Firmware", "Power meter", "Scope of the watts", "Compiled artifact", "Batch limit")
    told = TOLD | dict.fromkeys(untold, "N/A")
    told |= {"Serving software": "furiosa-llm 2026.2.0", "SDK and driver": "2026.2.0", "Number format": "BF16"}
    told |= {"Prefix cache": "on", "Prompts": "alike", "Dataset of the prompts": "a filler prompt"}
    told |= {"Arrival of the requests": "closed", "Date of the measurement": "2026-06"}

    def change(book: Any) -> None:
        sheet = book[SHEET]
        for line, (users, group) in enumerate(rows.groupby("concurrency")):
            for heading, value in (("Input length [tokens]", 1024), ("Output length [tokens]", 256), ("Users", users)):
                _cell(sheet, heading).offset(row=line).value = value
            for row in group.itertuples():
                factor = 1e3 if row.unit == "s" else 1.0
                _cell(sheet, _heading(names[row.metric])).offset(row=line).value = round(row.value * factor, 6)

    checked = tell("check", filled(told, {}, change), "--json").json["rows"]
    assert len(checked) == rows["concurrency"].nunique() >= 6
    figures = [figure for row in checked for figure in row["figures"]]
    assert len(figures) == len(rows) >= 12
    assert [row["reason"] for row in checked if row["verdict"] != "plausible"] == []


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("TTFT mean", "97,3", "decimal comma"),
        ("TTFT mean", "1.097,3", "decimal comma"),
        ("TTFT mean", "97.3 ms", "is no number"),
        ("TTFT mean", "about 97", "is no number"),
        ("TTFT mean", -97.3, "below zero"),
        ("TTFT mean", "#DIV/0!", "is no number"),
        ("TTFT mean", True, "is no number"),
        ("TTFT mean", "=A1*2", "without its value"),
    ],
)
def test_a_cell_that_is_no_figure_is_one_line(filled: Filled, name: str, value: Any, part: str) -> None:
    line = _line(filled(TOLD, FIGURES | {name: value}))
    assert part in line and "ttft_ms_mean" in line and re.search(rf"{SHEET}!\d+", line), line


@pytest.mark.parametrize(
    ("title", "value", "part"),
    [
        ("Prompts", "some", "different, alike"),
        ("Prefix cache", "maybe", "yes, no"),
        ("Cards", "two", "cards"),
        ("Cards", 0, "no whole number of 1"),
        ("Scope of the watts", "rack", "cards, server, wall"),
    ],
)
def test_a_condition_that_is_none_is_one_line(filled: Filled, title: str, value: Any, part: str) -> None:
    line = _line(filled(TOLD | {title: value}))
    assert part in line and re.search(rf"{SHEET}!\d+", line)


def test_sheets_are_known_by_their_headings(filled: Filled) -> None:
    """Renamed, hidden, with rows and columns added, among foreign sheets."""

    def change(book: Any) -> None:
        sheet = book[SHEET]
        sheet.title = "results of our lab"
        sheet.sheet_state = "hidden"
        sheet.insert_rows(3)
        head = _cell(sheet, "Users").row - 1
        sheet.cell(head, sheet.max_column + 1).value = "Room temperature [C]"
        sheet.cell(sheet.max_row + 2, 1).value = "signed: the lab"
        last = sheet.max_row + 1
        for at, value in enumerate((4096, 512, 3), start=1):
            sheet.cell(last, at).value = value
        sheet.cell(last, _cell(sheet, _heading("TPOT mean")).column).value = 25.5
        book.create_sheet("Notes")["A1"] = "=1+1"
        book.remove(book[MODEL])

    first, added = hand_in(filled(change=change)).runs
    assert first.figures["ttft_ms_mean"].value == 97.31 and first.setting.precision == "fp8"
    assert first.conduct.remarks == ("the sheet is hidden",)
    assert "not read: 'Room temperature [C]'" in first.conduct.notes
    assert (added.setting.isl, added.setting.osl, added.setting.users) == (4096, 512, 3)


def test_what_nobody_can_tell_the_row_of_is_one_line(filled: Filled) -> None:
    def merge(book: Any) -> None:
        cell = _cell(book[SHEET], _heading("TTFT mean"))
        book[SHEET].merge_cells(f"{cell.coordinate}:{cell.offset(row=1).coordinate}")

    def clear(book: Any) -> None:
        _cell(book[SHEET], "Users").value = None

    def twice(book: Any) -> None:
        _cell(book[SHEET], _heading("TTFT mean")).offset(row=-1).value = _heading("TPOT mean")

    assert "are merged" in _line(filled(change=merge))
    assert "users: is empty beside measured values" in _line(filled(change=clear))
    assert "stands twice" in _line(filled(change=twice))


def test_a_lost_title_is_named(filled: Filled) -> None:
    def change(book: Any) -> None:
        cell = next(row[0] for row in book[SHEET].iter_rows() if row[0].value == "Number format")
        cell.value = "Precision of our run"

    run = _one(filled(change=change))
    assert run.setting.precision is None and "not read: 'Precision of our run'" in run.conduct.notes


def test_foreign_workbooks_stop_no_folder(filled: Filled, empty: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "lab.XLSX").write_bytes(filled().read_bytes())
    (folder / "empty.xlsx").write_bytes(empty.read_bytes())
    (folder / "cut.xlsx").write_bytes(empty.read_bytes()[:3000])
    (folder / "~$lab.xlsx").write_bytes(b"owner")
    (folder / "nothing.xlsx").write_bytes(b"")
    book = openpyxl.Workbook()
    book.active.append(["isl", "osl", "users", "=1+1"])
    book.save(folder / "other.xlsx")
    with zipfile.ZipFile(folder / "bomb.xlsx", "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("xl/worksheets/sheet1.xml", b"0" * 2**24)
    (tmp_path / "outside.xlsx").write_bytes(filled().read_bytes())
    (folder / "link.xlsx").symlink_to(tmp_path / "outside.xlsx")
    handed = hand_in(folder)
    assert [path.name for path in handed.files] == ["lab.XLSX"] and len(handed.runs) == 1
    reasons = {Path(each.location).name: each.reason for each in handed.unread}
    assert set(reasons) == {path.name for path in folder.iterdir()} - {"lab.XLSX"}
    assert "a link out of the folder" in reasons["link.xlsx"] and "no known kind" in reasons["other.xlsx"]
    assert "no measured value" in reasons["empty.xlsx"] and "no table does" in reasons["bomb.xlsx"]


def test_entities_of_a_workbook_are_not_expanded(empty: Path, tmp_path: Path) -> None:
    """A small part that would unpack to gigabytes, or read a file, while it is parsed."""
    laughs = "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(9))
    for entity in (f'<!ENTITY a0 "ha">{laughs}', '<!ENTITY a9 SYSTEM "file:///etc/passwd">'):
        content = io.BytesIO()
        with zipfile.ZipFile(empty) as source, zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as target:
            for part in source.infolist():
                text = source.read(part)
                if part.filename == "xl/sharedStrings.xml":
                    head, _, rest = text.decode().partition("?>")
                    text = f"{head}?><!DOCTYPE x [{entity}]>{rest.replace('<t>', '<t>&a9;', 1)}".encode()
                target.writestr(part.filename, text)
        path = tmp_path / "evil.xlsx"
        path.write_bytes(content.getvalue())
        assert "no whole Excel workbook" in _line(path)
