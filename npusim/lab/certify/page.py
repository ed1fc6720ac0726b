"""The certificate of a submission: what stands on it, in the reader's language."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from npusim.conditions.table import CONDITIONS
from npusim.lab.cells import Cell
from npusim.lab.certify.certify import Certified
from npusim.lab.certify.clause import PASS, VERDICTS, Clause, digits_of, overall
from npusim.lab.certify.told_of import TITLES
from npusim.metric_names import metric
from npusim.metric_row import Shown as ShownIn
from npusim.metrics import shown
from npusim.report.certificate import Certificate, CertificateGrid, Lines, Verdict, render_certificate
from npusim.report.certificate import CertificateCell as Shown
from npusim.safe_text import printable
from npusim.words import Say

_MOST_FIGURES = 4
"""Figures that have a column in the table of cells."""
_USUAL = tuple(row.name for row in shown(ShownIn.BRIEF))
"""Figures that are shown where nothing is declared."""
_NAMES = {each.name: each.title for each in CONDITIONS} | TITLES
_PARTS = {
    "files": "Files read",
    "repeats.runs": "Number of runs",
    "repeats.spread": "Spread of the runs",
    "duration": "Duration of a run",
    "requests.per_user": "Requests of a user",
    "requests.failed": "Failed requests",
    "grid": "Conformity with the grid",
    "physical": "Physical check",
    "acceptance": "Acceptance",
    "evidence": "Evidence folder",
    "conditions": "Condition told",
    "environment": "Environment told",
}
"""Titles of clauses, by the beginning of their names."""
_TOLD = ("conditions.", "environment.")
"""Beginnings of clauses that something is told."""
_VERDICTS = {"pass": "Pass", "fail": "Fail", "not_decidable": "Not decidable"}


def certificate(found: Certified, manifest: Mapping[str, Any], say: Say, language: str) -> str:
    """The page as HTML."""
    rules = found.handed.rules
    subtitle = say("By the rules '{name}': {source}", name=rules.name, source=printable(say(rules.source)))
    words = {
        "overall": say("Overall verdict"), "signatures": say("Signatures"), "role": say("Role"), "name": say("Name"),
        "signature": say("Signature"), "date": say("Date"), "footer": say("npusim certificate; not issued by K-Perf"),
    }  # fmt: skip
    page = Certificate(
        language,
        say("Certificate of measured LLM inference performance"),
        subtitle,
        _verdict(found.verdict, say),
        [*_notices(found, say)],
        [*_told(found, say)],
        [*_tables(found, say)],
        [say(role) for role in ("Tested by", "Reviewed by", "Approved by")],
        words,
        say("Made by npusim {version}, code {code}.", version=manifest["npusim"], code=manifest["code_sha256"]),
    )
    return render_certificate(page)


def _verdict(verdict: str, say: Say) -> Verdict:
    return Verdict(verdict, say(_VERDICTS[verdict]))


def _notices(found: Certified, say: Say) -> Iterator[str]:
    yield say(
        "The certification procedure of K-Perf is not public. These rules and this form are npusim's own and are "
        "replaced by the official ones when they appear."
    )
    if found.handed.submission.notice:
        yield printable(found.handed.submission.notice)


def _told(found: Certified, say: Say) -> Iterator[tuple[str, str]]:
    submission, rules = found.handed.submission, found.handed.rules
    for title, value in (
        (say("Submission"), submission.title),
        (say("Applicant"), submission.applicant),
        (say("Laboratory"), submission.laboratory),
        (say("Rules"), say(rules.title)),
        (say("Grid"), rules.grid or ""),
    ):
        yield title, printable(value) or say("not told")
    environment = submission.environment.told()
    for name in type(submission.environment).model_fields:
        yield say(_NAMES[name]), printable(environment.get(name, "")) or say("unknown")


def _tables(found: Certified, say: Say) -> Iterator[CertificateGrid]:
    yield _cells(found, say)
    yield _conditions(found, say)
    yield _clauses(found, say)
    yield _runs(found, say)
    yield _evidence(found, say)
    yield _files(found, say)


def _figures(found: Certified) -> list[str]:
    """Figures with a column: declared ones first."""
    declared = [name for cell in found.handed.cells for name in found.handed.declared_of(cell)]
    return list(dict.fromkeys(declared or _USUAL))[:_MOST_FIGURES]


def _heading(name: str, say: Say) -> str:
    row = metric(name)
    return name if row is None else f"{say(row.label)} [{say(row.unit)}]" if row.unit else say(row.label)


def _cells(found: Certified, say: Say) -> CertificateGrid:
    names = _figures(found)
    clauses = {(each.cell, each.clause): each for each in found.clauses}
    rows: list[list[Shown]] = []
    for cell in found.handed.cells:
        where = f"{cell.precision or '?'}, {_or(cell.cards)} x {cell.chip or '?'}"
        row: list[Shown] = [Lines([printable(cell.model or "?"), printable(where)])]
        row += [f"{_or(cell.isl)} / {_or(cell.osl)}", _or(cell.users), str(len(found.handed.cells[cell]))]
        row += [_figure(found, cell, name, clauses.get((cell, f"acceptance.{name}")), say) for name in names]
        rows.append([*row, _verdict(found.verdict_of(cell), say)])
    headings = [say(word) for word in ("Model", "Input / output tokens", "Users", "Runs")]
    headings += [*(_heading(name, say) for name in names), say("Verdict")]
    note = say(
        "Median of all runs ± expanded uncertainty U; the guard band is U (JCGM 106:2012), with the coverage factor of "
        "Student's distribution for the runs there are. Below it the declared figure and the verdict on it."
    )
    wide = 49.0 / max(1, len(names))
    return CertificateGrid(
        say("Results by cell"), note, headings, rows, (17.0, 11.0, 7.0, 6.0, *(wide,) * len(names), 10.0)
    )


def _shape(cell: Cell) -> str:
    return f"{_or(cell.isl)}/{_or(cell.osl)} x {_or(cell.users)}"


def _or(value: Any) -> str:
    return "?" if value is None else str(value)


def _figure(found: Certified, cell: Cell, name: str, clause: Clause | None, say: Say) -> Shown:
    repeated, uncertainty = found.handed.repeated(cell, name), found.handed.uncertainty(cell, name)
    if repeated is None:
        return "-"
    far = say("U unknown") if uncertainty is None else f"± {digits_of(uncertainty.expanded, 3)}"
    lines = [f"{digits_of(repeated.median)} {far}"]
    declared = found.handed.declared_of(cell).get(name)
    if declared is not None:
        lines.append(say("declared {value}", value=digits_of(declared)))
    return Lines(lines, None if clause is None else _verdict(clause.verdict, say))


def _conditions(found: Certified, say: Say) -> CertificateGrid:
    rows: list[list[Shown]] = []
    told = [each.clause for each in found.clauses if each.clause.startswith(_TOLD)]
    for name in dict.fromkeys(told):
        own = [each for each in found.clauses if each.clause == name]
        texts = dict.fromkeys(printable(each.says.in_words_of(say)).rstrip(".") for each in own)
        verdict = overall(each.verdict for each in own)
        rows.append([say(_NAMES[name.partition(".")[2]]), Lines(list(texts)), _verdict(verdict, say)])
    headings = [say(word) for word in ("Condition", "As told", "Verdict")]
    return CertificateGrid(say("Conditions and environment"), "", headings, rows, (26.0, 60.0, 14.0))


def clause_title(clause: str, say: Say) -> str:
    """The title of a clause, with the figure or condition that it is about."""
    part = next(each for each in _PARTS if clause == each or clause.startswith(f"{each}."))
    rest = clause.removeprefix(part).lstrip(".")
    about = "" if not rest else say(_NAMES[rest]) if rest in _NAMES else _heading(rest, say)
    return f"{say(_PARTS[part])}: {about}" if about else say(_PARTS[part])


def _clauses(found: Certified, say: Say) -> CertificateGrid:
    rows: list[list[Shown]] = []
    for name in dict.fromkeys(each.clause for each in found.clauses):
        own = [each for each in found.clauses if each.clause == name]
        counts = Counter(each.verdict for each in own)
        told = [str(counts[verdict]) for verdict in reversed(VERDICTS)]
        rows.append([clause_title(name, say), *told, _verdict(overall(each.verdict for each in own), say)])
    headings = [say(word) for word in ("Clause", "Pass", "Not decidable", "Fail", "Verdict")]
    return CertificateGrid(say("Clauses of the rules"), "", headings, rows, (48.0, 12.0, 14.0, 12.0, 14.0))


def _runs(found: Certified, say: Say) -> CertificateGrid:
    names = _figures(found)
    rows: list[list[Shown]] = []
    for cell, repeats in found.handed.cells.items():
        for number, repeat in enumerate(repeats, start=1):
            values = [digits_of(repeat.figures[name].value) if name in repeat.figures else "-" for name in names]
            files = Lines([_within(found, file) for file in repeat.files])
            rows.append([_shape(cell), str(number), *values, files])
    headings = [say("Cell"), say("Run"), *(_heading(name, say) for name in names), say("Files")]
    wide = 40.0 / max(1, len(names))
    widths = (13.0, 6.0, *(wide,) * len(names), 41.0)
    return CertificateGrid(say("All runs"), "", headings, rows, widths, frozenset({len(headings) - 1}))


def _within(found: Certified, file: str) -> str:
    """A file as the folder that was handed in has it."""
    return printable(Path(file).relative_to(found.folder).as_posix())


def _evidence(found: Certified, say: Say) -> CertificateGrid:
    rows: list[list[Shown]] = []
    for each in sorted(found.clauses, key=lambda clause: VERDICTS.index(clause.verdict)):
        if each.clause.startswith(_TOLD) and each.verdict == PASS:
            continue
        cell = say("all") if each.cell is None else _shape(each.cell)
        text = printable(each.says.in_words_of(say))
        if each.limit_decides and each.verdict != PASS:
            text = f"{text} {say('Another limit within its range would decide otherwise.')}"
        rows.append([cell, clause_title(each.clause, say), text, _verdict(each.verdict, say)])
    headings = [say(word) for word in ("Cell", "Clause", "Grounds", "Verdict")]
    note = say("Conditions that are told stand above.")
    return CertificateGrid(say("Evidence of each clause"), note, headings, rows, (16.0, 26.0, 45.0, 13.0))


def _files(found: Certified, say: Say) -> CertificateGrid:
    rows = [[_within(found, file), digest] for file, digest in found.hashes.items()]
    return CertificateGrid(say("Raw files"), "", [say("File"), "SHA-256"], rows, (50.0, 50.0), frozenset({0, 1}))
