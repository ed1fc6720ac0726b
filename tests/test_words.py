"""Every word that a report or a workbook says is in the catalogue of each language."""

from __future__ import annotations

import ast
import re
import string
from pathlib import Path

import pytest

import npusim
from npusim.bounds import arithmetic, bandwidth, capacity, collective, power_cap
from npusim.bounds.finding import VERDICTS
from npusim.errors import UserError
from npusim.explore.evaluate.proposal import load_proposal
from npusim.explore.evaluate.run import evaluate_proposal
from npusim.kperf import comparison
from npusim.kperf.charts import CHARTS
from npusim.kperf.table import ACCURACY_COLUMNS, COLUMNS, HEADLINES, MISSING
from npusim.kperf.workbook_record import PROVENANCE_COLUMNS
from npusim.words import ENGLISH, LANGUAGES, catalogue, speaker

EXAGGERATED = Path(__file__).resolve().parents[1] / "examples" / "exaggerated" / "proposal.yaml"


def _spoken() -> set[str]:
    """Every literal that is given to a `say` that speaks the reader's language, or kept as a phrase."""
    found = set()
    for path in sorted(Path(npusim.__file__).parent.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        names = {"Phrase", "say"} if re.search("from npusim.words import .*(Say|speaker)", source) else {"Phrase"}
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
                found |= {arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant)}
    return found


OTHERS = [language for language in LANGUAGES if language != ENGLISH]


def test_every_language_has_every_word() -> None:
    evaluation = evaluate_proposal(load_proposal(EXAGGERATED), EXAGGERATED, 0, lambda _: None)
    factors = {factor.name for factor in evaluation.factors}
    bounds = {arithmetic.NAME, bandwidth.NAME, capacity.NAME, collective.NAME, power_cap.CAP, power_cap.IDLE}
    kinds = {"measured", "datasheet", "derived", "calibrated", "assumed", "accept", "conditional", "reject"}
    columns = (*COLUMNS, *HEADLINES, *ACCURACY_COLUMNS, *MISSING, *PROVENANCE_COLUMNS, *comparison.MIDDLE)
    headings = {item.heading for item in columns} | {item.group for item in COLUMNS} | {item.title for item in CHARTS}
    assert "ko" in OTHERS
    for language in OTHERS:
        assert (_spoken() | factors | bounds | kinds | set(VERDICTS) | headings) - set(catalogue(language)) == set()


@pytest.mark.parametrize("language", OTHERS)
def test_translations_keep_their_places(language: str) -> None:
    for english, other in catalogue(language).items():
        fields = [{name for _, name, _, _ in string.Formatter().parse(text) if name} for text in (english, other)]
        assert fields[0] == fields[1], english


def test_a_measuring_table_is_read_back_in_every_language() -> None:
    for language in LANGUAGES:
        labels = [item.label_in(speaker(language)) for item in COLUMNS]
        assert len(set(labels)) == len(labels), language


def test_other_languages_are_not_spoken() -> None:
    with pytest.raises(UserError, match="--lang"):
        speaker("fr")
