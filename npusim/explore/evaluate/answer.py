"""An evaluation as JSON: claims as the contract has them, targets, risks, demands, readiness and what was told."""

from __future__ import annotations

from typing import Any

from npusim.explore.evaluate.claim_json import claim_json
from npusim.explore.evaluate.curve_json import curve_json
from npusim.explore.evaluate.demanded import demands
from npusim.explore.evaluate.evidence import LEAST_TRL, TRL_RULE, TRL_SOURCE
from npusim.explore.evaluate.risks import computed_risks
from npusim.explore.evaluate.run import Evaluation
from npusim.explore.evaluate.scoring import Score
from npusim.explore.evaluate.target_table import TargetLevel
from npusim.explore.evaluate.worlds_best import BestRow
from npusim.explore.evaluate.yearly import JudgedTarget, JudgedYear


def evaluation_json(found: Evaluation, score: Score | None) -> dict[str, Any]:
    """Everything that is said of one proposal."""
    told = found.proposal
    return {
        "claims": [*(claim_json(each) for each in found.judged), *(curve_json(each) for each in found.curves)],
        "targets": [_target(each) for each in found.targets],
        "score": None if score is None else score_json(score),
        "risks": _risks(found),
        "demands": _demands(found),
        "trl": {
            "entry": told.maturity.trl,
            "target": told.maturity.target_trl,
            "least_for_acceptance": LEAST_TRL,
            "withholds_acceptance": told.maturity.trl < LEAST_TRL,
            "rule": str(TRL_RULE),
            "source": TRL_SOURCE,
        },
        "resources": None if told.resources is None else told.resources.model_dump(mode="json"),
        "credibility": [vars(factor) | {"reason": str(factor.reason)} for factor in found.factors],
        "unmoved": [vars(number) for number in found.unmoved],
    }


def score_json(score: Score) -> dict[str, float]:
    """A score with its range, and which part of the weights it is of."""
    return {"value": score.value, "low": score.low, "high": score.high, "decidable_percent": score.decidable_percent}


def _target(target: JudgedTarget) -> dict[str, Any]:
    told = target.told
    return {
        "item": told.item,
        "unit": told.unit,
        "weight": told.weight_percent,
        "claim": told.claim,
        "world_best": _level(told.world_best)
        | {
            "status": target.best.status,
            "known": None if target.best.known is None else _row(target.best.known, target.last.unit_worth),
            "differs": list(target.best.differs),
        },
        "domestic": _level(told.domestic),
        "years": [_year(each) for each in target.years],
        "test_method": told.test_method,
        "certifier": told.certifier,
        "basis": told.basis,
        "reason": str(target.reason),
        "contradictions": [str(each) for each in target.contradictions],
    }


def _level(level: TargetLevel | None) -> dict[str, Any]:
    return {"value": None, "holder": None, "source": None} if level is None else level.model_dump()


def _row(row: BestRow, unit_worth: float) -> dict[str, Any]:
    return {
        "value": row.value / unit_worth,
        "holder": row.holder,
        "kind": row.kind,
        "when": row.when,
        "source": row.source,
    }


def _year(year: JudgedYear) -> dict[str, Any]:
    ends = year.interval
    return {
        "year": year.told.year,
        "target": year.told.value,
        "side": "at_most" if year.told.at_least is None else "at_least",
        "predicted": None if ends is None else ends[1],
        "low": None if ends is None else ends[0],
        "high": None if ends is None else ends[2],
        "probability": None if year.judged is None else year.judged.probability,
        "decision": year.decision,
        "event_driven": None
        if year.event is None
        else {**year.event.answer, "verdict": year.event.verdict, "reason": str(year.event.reason)},
    }


def _risks(found: Evaluation) -> list[dict[str, Any]]:
    computed = [
        {
            "risk": str(each.text),
            "claim": each.judged.claim.name,
            "told": False,
            "likelihood": {"value": each.likelihood, "low": each.low, "high": each.high},
            "impact": each.weight,
            "lowered_by": str(each.lowered_by),
        }
        for each in computed_risks(found)
    ]
    told = [
        {
            "risk": each.risk,
            "claim": None,
            "told": True,
            "likelihood": each.likelihood,
            "impact": each.impact,
            "lowered_by": each.mitigation,
        }
        for each in found.proposal.risks
    ]
    return [*computed, *told]


def _demands(found: Evaluation) -> list[dict[str, Any]]:
    return [
        {
            "claim": each.judged.claim.name,
            "measure": each.group.name,
            "leading": each.group.leading,
            "probability": each.now,
            "well": each.group.well,
            "badly": each.group.badly,
            "bits": each.group.gain,
            "weight": each.weight,
        }
        for each in demands(found)
    ]
