"""Certifying submissions: every clause by what must move it and what must not, on made-up runs near predictions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from cli_support import tell

from npusim.api import certify
from npusim.errors import UserError
from npusim.hardware.description import read_yaml
from npusim.lab.certify.page import certificate
from npusim.lab.certify.rules_file import load_rules, rules_path
from npusim.words import catalogue, speaker

SAMPLE = Path(__file__).resolve().parents[1] / "examples" / "submission"
RATE, TOKEN, FIRST = 674.0, 23.3, 430.0
"""Of 16 users on one RNGD, near the prediction."""
NOISE = (0.0, 0.002, -0.001)
SUBMISSION = """
conditions: {precision: bf16, kv_precision: bf16, prefix_caching: false, prompts: different, power_scope: cards}
environment:
  {device_serial: A1, firmware: "1.0", sdk: furiosa-llm 2026.3.0, power_limit: 180 W, clocks: 1 GHz, ambient: 23 degC}
declared:
  - {isl: 1024, osl: 1024, concurrency: 16, figures: {output_tokens_per_s: 675}}
"""
Answer = dict[str, Any]


def bench(noise: float, **more: Any) -> Answer:
    """A result of `vllm bench serve` whose figures agree with each other."""
    token, first = TOKEN / (1.0 + noise), FIRST * (1.0 + 7.0 * noise)
    whole = first + 1023 * token
    rate = RATE * (FIRST + 1023 * TOKEN) / whole
    return {
        "date": "20261110-110214", "backend": "furiosa-llm", "version": "2026.3.0", "model_id": "llama-3.1-8b",
        "device": "RNGD", "cards": 1, "num_prompts": 48, "request_rate": "inf", "max_concurrency": 16,
        "duration": round(48 * 1024 / rate, 4), "completed": 48, "failed": 0, "total_input_tokens": 49152,
        "total_output_tokens": 49152, "output_throughput": round(rate, 4), "total_token_throughput": round(2 * rate, 4),
        "mean_ttft_ms": round(first, 4), "mean_tpot_ms": round(token, 4), "mean_e2el_ms": round(whole, 4),
    } | more  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A submission that passes."""
    place = tmp_path / "handed"
    place.mkdir()
    for number, noise in enumerate(NOISE):
        (place / f"run{number}.json").write_text(json.dumps(bench(noise)))
    (place / "submission.yaml").write_text(SUBMISSION)
    return place


def certified(folder: Path, **options: Any) -> Answer:
    return certify(folder, **options).answer


def clause(answer: Answer, name: str) -> Answer:
    return next(each for each in answer["clauses"] if each["clause"] == name)


def verdict(answer: Answer, name: str) -> str:
    return str(clause(answer, name)["verdict"])


def not_passed(answer: Answer) -> dict[str, str]:
    return {each["clause"]: each["verdict"] for each in answer["clauses"] if each["verdict"] != "pass"}


def write(folder: Path, number: int, noise: float, **more: Any) -> None:
    (folder / f"run{number}.json").write_text(json.dumps(bench(noise, **more)))


def told(folder: Path, before: str, after: str) -> None:
    text = (folder / "submission.yaml").read_text()
    assert before in text
    (folder / "submission.yaml").write_text(text.replace(before, after))


def test_a_sound_submission_passes_with_its_evidence(folder: Path) -> None:
    found = certified(folder)
    assert not_passed(found) == {} and found["verdict"] == "pass"
    accepted = clause(found, "acceptance.output_tokens_per_s")
    evidence = accepted["evidence"]
    assert {Path(file).name for file in evidence["files"]} == {"run0.json", "run1.json", "run2.json"}
    assert evidence["limit"] == pytest.approx(0.97 * 675)
    assert evidence["figures"]["median"] - evidence["guard_band"] >= evidence["limit"]
    assert len(evidence["figures"]["measured"]) == 3
    cell = found["cells"][0]
    assert cell["concurrency"] == 16 and len(cell["runs"]) == 3
    assert {Path(each["file"]).name for each in found["files"]} >= {"run0.json", "submission.yaml"}


@pytest.mark.parametrize(
    ("declared", "expected"),
    [(675.0, "pass"), (694.0, "not_decidable"), (760.0, "fail")],
)
def test_a_declared_value_is_accepted_guarded_or_rejected(folder: Path, declared: float, expected: str) -> None:
    file = folder.parent / "declared.yaml"
    file.write_text(f"declared: [{{isl: 1024, osl: 1024, users: 16, figures: {{output_tokens_per_s: {declared}}}}}]\n")
    found = certified(folder, declared=file)
    assert verdict(found, "acceptance.output_tokens_per_s") == expected == found["verdict"]


def test_a_stated_instrument_widens_the_guard_band(folder: Path) -> None:
    before = clause(certified(folder), "acceptance.output_tokens_per_s")["evidence"]["guard_band"]
    (folder / "submission.yaml").write_text(f"{SUBMISSION}uncertainty: {{output_tokens_per_s: 0.02}}\n")
    found = clause(certified(folder), "acceptance.output_tokens_per_s")
    assert found["evidence"]["guard_band"] > 2.0 * before and found["verdict"] == "not_decidable"


def test_two_runs_fail_and_one_run_cannot_be_accepted(folder: Path) -> None:
    (folder / "run2.json").unlink()
    assert not_passed(certified(folder)) == {"repeats.runs": "fail"}
    (folder / "run1.json").unlink()
    found = not_passed(certified(folder))
    assert found.pop("repeats.runs") == "fail"
    assert set(found.values()) == {"not_decidable"} and "acceptance.output_tokens_per_s" in found


def test_copies_of_a_run_count_once(folder: Path) -> None:
    for number in (1, 2):
        shutil.copy(folder / "run0.json", folder / f"run{number}.json")
    found = clause(certified(folder), "repeats.runs")
    assert found["verdict"] == "fail" and "run0.json = run1.json = run2.json" in found["evidence"]["text"]


def test_runs_that_lie_apart_fail(folder: Path) -> None:
    write(folder, 2, 0.12)
    found = clause(certified(folder), "repeats.spread.output_tokens_per_s")
    assert found["verdict"] == "fail" and found["evidence"]["figures"]["cv"] > found["evidence"]["limit"]


def test_an_impossible_run_fails_and_is_named(folder: Path) -> None:
    write(folder, 2, 0.0, output_throughput=674.0 * 60, total_token_throughput=2 * 674.0 * 60)
    found = clause(certified(folder), "physical")
    assert found["verdict"] == "fail"
    assert [Path(file).name for file in found["evidence"]["files"]] == ["run2.json"]
    assert "memory bandwidth" in found["evidence"]["text"]


def test_an_outlying_run_of_one_cell_leaves_the_others_decided(folder: Path) -> None:
    for number, noise in enumerate(NOISE):
        own = bench(noise, max_concurrency=4, num_prompts=12, completed=12, duration=100.0)
        own |= {"total_input_tokens": 12288, "total_output_tokens": 12288}
        own["output_throughput"] = 120.0 * (1.0 + noise) * (3.0 if number == 2 else 1.0)
        (folder / f"four{number}.json").write_text(json.dumps(own))
    found = certified(folder)
    assert clause(found, "acceptance.output_tokens_per_s")["verdict"] == "pass"
    assert found["verdict"] == "fail"


@pytest.mark.parametrize(
    ("name", "more", "expected"),
    [
        ("duration", {"duration": 30.0}, "fail"),
        ("requests.failed", {"failed": 2, "completed": 46, "num_prompts": 48}, "fail"),
        ("requests.failed", {"failed": None, "num_prompts": None}, "not_decidable"),
        ("grid", {"num_prompts": 480, "completed": 480}, "fail"),
        ("grid", {"num_prompts": None}, "not_decidable"),
        ("requests.per_user", {"num_prompts": 32, "completed": 32}, "fail"),
    ],
)  # fmt: skip
def test_how_a_run_was_measured(folder: Path, name: str, more: Answer, expected: str) -> None:
    tokens = 1024 * more.get("completed", 48)
    for number, noise in enumerate(NOISE):
        write(folder, number, noise, **({"total_input_tokens": tokens, "total_output_tokens": tokens} | more))
    assert verdict(certified(folder), name) == expected


@pytest.mark.parametrize("name", ["precision", "kv_precision", "prefix_caching", "prompts", "power_scope"])
@pytest.mark.parametrize("untold", [None, "unknown"])
def test_an_untold_condition_is_not_decidable(folder: Path, name: str, untold: str | None) -> None:
    conditions = {"precision": "bf16", "kv_precision": "bf16", "prefix_caching": "false", "prompts": "different",
                  "power_scope": "cards"}  # fmt: skip
    value = conditions[name]
    told(folder, f"{name}: {value}", f"{name}: {untold or 'null'}")
    found = certified(folder)
    assert verdict(found, f"conditions.{name}") == "not_decidable" == found["verdict"]


def test_an_untold_environment_is_not_decidable(folder: Path) -> None:
    told(folder, "device_serial: A1", "device_serial: unknown")
    assert not_passed(certified(folder)) == {"environment.device_serial": "not_decidable"}


@pytest.mark.parametrize(
    ("more", "name"),
    [({"precision": "fp8"}, "conditions.precision"), ({"kv_cache_dtype": "fp8"}, "conditions.kv_precision")],
)
def test_files_that_contradict_the_submission_fail(folder: Path, more: Answer, name: str) -> None:
    write(folder, 1, NOISE[1], **more)
    assert verdict(certified(folder), name) == "fail"


def test_spellings_of_one_thing_do_not_contradict(folder: Path) -> None:
    told(
        folder,
        "precision: bf16, kv",
        "device: FuriosaAI RNGD, model: meta-llama/Llama-3.1-8B-Instruct, precision: bf16, kv",
    )
    assert not_passed(certified(folder)) == {}


def test_a_broken_file_is_no_silent_loss(folder: Path) -> None:
    (folder / "run9.json").write_text(json.dumps(bench(0.0, output_throughput=None)))
    found = clause(certified(folder), "files")
    assert found["verdict"] == "not_decidable" and "run9.json" in found["evidence"]["text"]


def test_a_declared_cell_without_runs_is_not_decidable(folder: Path) -> None:
    told(folder, "declared:", "declared:\n  - {isl: 128, osl: 128, users: 1, figures: {output_tokens_per_s: 60}}")
    found = certified(folder)
    assert not_passed(found) == {"acceptance": "not_decidable"}
    assert "128/128 x 1" in clause(found, "acceptance")["evidence"]["text"]


def test_nothing_declared_is_not_decidable(folder: Path) -> None:
    (folder / "submission.yaml").write_text(SUBMISSION.partition("declared:")[0])
    assert not_passed(certified(folder)) == {"acceptance": "not_decidable"}


RULES_MOVED = [
    ("acceptance.0.at_least", {"value": 1.01, "high": 1.02}, "acceptance.output_tokens_per_s", "fail"),
    ("repeats.runs", {"value": 4}, "repeats.runs", "fail"),
    ("repeats.spread.0.most", {"value": 0.0001, "low": 0.0}, "repeats.spread.output_tokens_per_s", "fail"),
    ("duration", {"value": "200 s"}, "duration", "fail"),
    ("requests.per_user", {"value": 4}, "requests.per_user", "fail"),
    ("uncertainty.coverage_factor", {"value": 40}, "acceptance.output_tokens_per_s", "not_decidable"),
    (
        "uncertainty.instruments.0.relative", {"value": 0.05, "high": 0.05}, "acceptance.output_tokens_per_s",
        "not_decidable",
    ),
    ("", {"conditions": ["warm_up"]}, "conditions.warm_up", "not_decidable"),
    ("", {"grid": "quick"}, "grid", "fail"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "change", "name", "expected"), RULES_MOVED)
def test_every_number_of_the_rules_moves_its_clause(
    folder: Path, path: str, change: Answer, name: str, expected: str
) -> None:
    rules = json.loads(json.dumps(read_yaml(rules_path("npusim-1"))))
    part = rules
    for key in filter(None, path.split(".")):
        part = part[int(key) if key.isdigit() else key]
    part.update(change)
    own = folder.parent / "rules.yaml"
    own.write_text(json.dumps(rules))
    assert verdict(certified(folder, rules=str(own)), name) == expected


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("metric: output_tokens_per_s", "metric: output_tokens", "no figure of npusim"),
        ("grid: furiosa-perf-32k", "grid: furiosa-perf-23k", "did you mean"),
        ("- device_serial", "- device_serials", "did you mean"),
        ("    at_least: {value: 0.97", "    at_leest: {value: 0.97", "at_leest"),
        ("- {metric: tokens_per_joule, relative: *sensor}", "", "which acceptance needs"),
    ],
)
def test_a_mistake_in_the_rules_is_one_line(tmp_path: Path, before: str, after: str, says: str) -> None:
    text = rules_path("npusim-1").read_text(encoding="utf-8")
    assert before in text
    own = tmp_path / "rules.yaml"
    own.write_text(text.replace(before, after, 1))
    with pytest.raises(UserError, match=says):
        load_rules(str(own))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("declared: [{isl: 1024, osl: 1024, users: 16, figures: {throughput: 675}}]", "no figure of npusim"),
        ("declared: [{isl: 1024, osl: 1024, users: 16, figures: {output_tokens_per_s: -1}}]", "above zero"),
        ("environment: {serial: A1}", "serial"),
        ("uncertainty: {watts: 0.1}", "no figure of npusim"),
        ("conditions: {prompts: some}", "different, alike"),
    ],
)
def test_a_mistake_in_a_submission_is_one_line(folder: Path, text: str, says: str) -> None:
    (folder / "submission.yaml").write_text(text)
    done = tell("certify", folder)
    assert done.code == 2 and says in done.err and "submission.yaml" in done.err


def test_unknown_rules_and_folders_are_one_line(folder: Path) -> None:
    assert "did you mean 'npusim-1'" in tell("certify", folder, "--rules", "npusim1").err
    assert "no such folder" in tell("certify", folder / "run0.json").err


# The shipped sample


@pytest.fixture(scope="module")
def sample() -> Any:
    return certify(SAMPLE)


def test_the_sample_fails_by_its_bad_run_alone(sample: Any) -> None:
    cells = {cell["concurrency"]: cell for cell in sample.answer["cells"]}
    assert {users: cell["verdict"] for users, cell in cells.items()} == {16: "pass", 32: "pass", 64: "fail"}
    assert [len(cell["runs"]) for cell in cells.values()] == [3, 3, 4]
    broken = clause_of(sample.answer, "physical", 64)
    assert all("BAD" in file for file in broken["evidence"]["files"])


def clause_of(answer: Answer, name: str, users: int) -> Answer:
    cells = (each for each in answer["clauses"] if each["clause"] == name and each["cell"])
    return next(each for each in cells if each["cell"]["concurrency"] == users)


def test_the_sample_passes_without_its_bad_run(tmp_path: Path) -> None:
    shutil.copytree(SAMPLE, tmp_path / "s", ignore=shutil.ignore_patterns("*BAD*"))
    assert not_passed(certified(tmp_path / "s")) == {}


def test_the_certificate_says_everything_in_both_languages(sample: Any) -> None:
    missing: list[str] = []
    korean = speaker("ko")

    def say(text: str, /, **values: Any) -> str:
        if text not in catalogue("ko") and not text.isascii():
            missing.append(text)
        if text not in catalogue("ko"):
            missing.append(text)
        return korean(text, **values)

    pages = {
        "en": certificate(sample.found, sample.manifest, speaker("en"), "en"),
        "ko": certificate(sample.found, sample.manifest, say, "ko"),
    }
    assert missing == []
    for page in pages.values():
        assert all(each["sha256"] in page for each in sample.answer["files"])
        assert "@page" in page and "counter(page)" in page and "<script" not in page
    assert "부적합" in pages["ko"] and "판정 불가" in pages["ko"] and "Not decidable" in pages["en"]


def test_text_of_a_submission_commands_nothing_on_the_page(folder: Path) -> None:
    told(folder, "conditions:", 'title: "<script>alert(1)</script>"\nnotice: "\\u202e{x}"\nconditions:')
    out = folder.parent / "cert.html"
    certify(folder, out=out)
    page = out.read_text(encoding="utf-8")
    assert "<script" not in page and "\u202e" not in page and "{x}" in page


def test_the_command_line_and_its_json(folder: Path) -> None:
    done = tell("certify", folder, "--rules", "npusim-1", "--json")
    assert set(done.json) >= {"clauses", "verdict", "cells", "files", "rules", "manifest"}
    assert {each["verdict"] for each in done.json["clauses"]} <= {"pass", "fail", "not_decidable"}
    printed = tell("certify", folder)
    assert "Overall: pass" in printed.out
