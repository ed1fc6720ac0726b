"""A certificate as one HTML page for A4 paper, with page numbers and no need of a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from npusim.report.page import templates


@dataclass(frozen=True)
class Verdict:
    """kind: pass, fail or not_decidable, which gives its colour; text: in the reader's language."""

    kind: str
    text: str


@dataclass(frozen=True)
class Lines:
    """A cell of several lines, with a verdict below them where there is one."""

    lines: Sequence[str]
    verdict: Verdict | None = None


CertificateCell = str | Verdict | Lines


@dataclass(frozen=True)
class CertificateGrid:
    """A table of a certificate. widths: of its columns in per cent; narrow: columns of digests, broken anywhere."""

    title: str
    note: str
    headings: Sequence[str]
    rows: Sequence[Sequence[CertificateCell]]
    widths: Sequence[float] = ()
    narrow: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Certificate:
    """title, subtitle: on top; verdict: of all; notices: what every reader must know; told: titles and values; tables:
    in order; signatures: roles of who signs; made_by: what made the page, in a line."""

    language: str
    title: str
    subtitle: str
    verdict: Verdict
    notices: Sequence[str]
    told: Sequence[tuple[str, str]]
    tables: Sequence[CertificateGrid]
    signatures: Sequence[str]
    words: Mapping[str, str]
    made_by: str


def render_certificate(page: Certificate) -> str:
    """The page as HTML; the same certificate gives the same bytes."""
    return (
        templates().get_template("certificate.html.j2").render(page=page, kind=lambda cell: type(cell).__name__.lower())
    )
