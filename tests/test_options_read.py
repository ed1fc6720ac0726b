"""Every option of every command is read: changing it changes the answer or the files, or the command says why not."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click
import pytest
from calibration_support import STEPS, few_ranges, few_steps
from cli_support import Told, mistake, tell
from graph_support import exported, open_dimension
from openpyxl import load_workbook
from test_certify import NOISE, SUBMISSION, bench
from test_check import SUMMARY

from npusim.api import evidence_add, evidence_key, evidence_seal, evidence_sign
from npusim.cli.main import npusim
from npusim.explore.fleet import anew, capacity, numbers, routed
from npusim.explore.sweep import run as sweep_run
from npusim.explore.sweep.backend import Backend
from npusim.explore.sweep.spec import SweepSpec
from npusim.hardware.data import data_root
from npusim.words import Tell

MODEL = "qwen2.5-0.5b"
SAMPLES = Path(__file__).parent / "samples"
EXAMPLES = Path(__file__).parents[1] / "examples"
GRID = """name: {name}
title: one cell
source: this test
arrival: burst
requests_per_user: 1
points:
  - {{isl: {isl}, osl: {osl}, users: [{users}]}}
"""
RECORDED = """TIMESTAMP,ContextTokens,GeneratedTokens
2026-12-01 00:00:00.0000000,64,4
2026-12-01 00:00:01.0000000,96,6
"""
SWEEP = f"""name: clocks
arch: rngd
models: [{MODEL}]
workloads: [{{isl: 64, osl: 8, users: [1]}}]
vary:
  chip.unit.clock: {{values: [0.9 GHz, 1 GHz]}}
objectives: {{output_tokens_per_s: max}}
"""
PROPOSAL = f"""name: small
title: a small claim
architecture: rngd
context_of_use: a test
maturity: {{trl: 4, evidence: none}}
claims:
  - {{name: speed, text: quick, model: {MODEL}, isl: 64, osl: 8, metric: tokens_per_s_per_user, at_least: 100}}
"""


STEP = f"step rngd {MODEL} --phase decode --batch 1 --context 64"
RUN = f"run rngd {MODEL} --isl 64 --osl 4 --concurrency 1"
OPERATORS = 60
REDUCTION = "collective rngd --op all_reduce --bytes 8KiB --ranks 8 --within chip"


@dataclass(frozen=True)
class Call:
    """base: a call that works; changes: for each option the words that change it, or a list of them: those added to
    the base first because the option needs them, then the change."""

    base: str
    changes: dict[str, str | tuple[str, str]]


PLACING: dict[str, str | tuple[str, str]] = {
    "--precision": "--precision fp8",
    "--kv-precision": "--kv-precision fp8",
    "--cards": "--cards 2",
    "--tp": ("--cards 2", "--tp 1"),
    "--plan": "--plan tp2",
    "--runtime": "--runtime furiosa-llm-2026.2",
    "--software": "--software tuned",
    "--uncalibrated": "--uncalibrated",
}
BEST = "--plan auto --cards 2"
DEPLOYING = PLACING | {
    "--objective": (BEST, "--objective efficiency"),
    "--ttft-limit": (BEST, "--ttft-limit 0.001"),
    "--tpot-limit": (BEST, "--tpot-limit 0.001"),
    "--offload": "--offload none",
    "--speculate": "--speculate ngram:k=2",
}
BENCH: dict[str, str | tuple[str, str]] = {
    "--dtype": "--dtype w8a16",
    "--placement": "--placement bank",
    "--power-limit": "--no-power-limit",
    "--fence": "--fence 9us",
    "--interval": "--interval",
    "--seed": ("--interval", "--seed 3"),
}
GRID_OPTIONS = DEPLOYING | {"--models": "--models llama-3.1-8b", "--grid": "--grid long.yaml", "--seed": "--seed 3"}
GRID_OPTIONS["--objective"] = (f"{BEST} --grid crowd.yaml", "--objective efficiency")
CALLS = {
    "list": Call("archs", {}),
    "show": Call("rngd", {"--uncalibrated": "--uncalibrated", "--as": "--as llama"}),
    "lint": Call("rngd", {}),
    "new-chip": Call("mine --like rngd", {"--like": "--like h200"}),
    "new-proposal": Call("pim --out call.yaml", {"--out": "--out call.yml"}),
    "step": Call(
        f"rngd {MODEL} --phase decode --batch 64 --context 512",
        DEPLOYING
        | {
            "--as": "--as starcoder2",
            "--phase": "--phase prefill",
            "--batch": "--batch 8",
            "--context": "--context 1024",
            "--query": ("--phase prefill", "--query 64"),
            "--interval": "--interval",
            "--engine": "--engine event",
            "--memory-depth": ("--engine event", "--memory-depth channel"),
            "--dies-per-memory": ("--engine event --cards 2", "--dies-per-memory 2"),
            "--refresh-rate": ("--engine event --memory-depth command", "--refresh-rate 2"),
            "--trace": ("--engine event", "--trace trace.json"),
            "--explain": "--explain",
            "--seed": ("--interval", "--seed 3"),
        },
    ),
    "run": Call(
        f"rngd {MODEL} --isl 256 --osl 8 --concurrency 4",
        DEPLOYING
        | {
            "--as": "--as starcoder2",
            "--isl": "--isl 128",
            "--osl": "--osl 9",
            "--concurrency": "--concurrency 2",
            "--requests": "--requests 5",
            "--arrival": "--arrival poisson:9",
            "--warm-up": "--warm-up 4",
            "--trace": "--trace pairs.csv",
            "--trace-speed": "--trace-speed 2",
            "--load": "--load chat",
            "--slo": "--slo tpot_p99=1s",
            "--shared-prefix": "--shared-prefix 192",
            "--instances": "--instances 2",
            "--routing": ("--instances 3 --arrival poisson:90 --requests 12", "--routing least_loaded"),
            "--prefill": ("--prefill 1 --decode 1", "--prefill 2"),
            "--decode": ("--prefill 1 --decode 1", "--decode 2"),
            "--link": ("--prefill 1 --decode 1", "--link pcie-gen5-x16"),
            "--kv-tiers": ("--shared-prefix 192", "--kv-tiers host-memory"),
            "--layer-wise": ("--prefill 1 --decode 1", "--layer-wise"),
            "--engine": "--engine event",
            "--memory-depth": ("--engine event --software open", "--memory-depth channel"),
            "--interval": "--interval",
            "--explain": "--explain",
            "--seed": ("--arrival poisson:9", "--seed 3"),
        },
    ),
    "kperf": Call(
        f"rngd --models {MODEL} --grid short.yaml --no-interval --out out",
        GRID_OPTIONS
        | {
            "--out": "--out other",
            "--interval": "--interval",
            "--slo": "--slo tpot_p99=1s",
            "--report": "--report",
            "--lang": "--lang ko",
            "--seed": ("--interval", "--seed 3"),
        },
    ),
    "predict": Call(
        f"rngd --models {MODEL} --grid short.yaml",
        GRID_OPTIONS
        | {
            "--register": "--register --out pack.json",
            "--out": ("--register --out one.json", "--out two.json"),
            "--date": ("--register --out pack.json --date 2026-01-01", "--date 2026-01-02"),
        },
    ),
    "score": Call(
        f"scored.json {SUMMARY}",
        {
            "--stamp": "--stamp 00",
            "--arch": "--arch h200",
            "--model": "--model qwen2.5-0.5b",
            "--precision": "--precision fp8",
            "--cards": "--cards 2",
        },
    ),
    "validate": Call(
        "steps.csv --arch h200 --no-interval",
        {
            "--arch": "--arch h100",
            "--report": "--report report",
            "--seed": ("--interval", "--seed 3"),
            "--engine": "--engine event",
            "--interval": "--interval",
            "--lengths": "--lengths fixed",
            "--uncalibrated": "--uncalibrated",
            "--lang": ("--report report", "--lang ko"),
        },
    ),
    "calibrate": Call(
        "ops.csv --arch own/h200.yaml --out fit.yaml --date 2026-01-01",
        {
            "--arch": "--arch rngd",
            "--out": "--out other.yaml",
            "--seed": "--seed 3",
            "--shared": "--shared",
            "--date": "--date 2026-01-02",
            "--steps": "--steps steps.csv",
            "--model": ("--steps steps.csv", "--model qwen2.5-0.5b"),
            "--precision": ("--steps steps.csv", "--precision int8"),
            "--kv-precision": ("--steps steps.csv", "--kv-precision int3"),
            "--tp": ("--steps steps.csv", "--tp 2"),
            "--runtime": ("--steps steps.csv", "--runtime furiosa-llm-2026.3"),
            "--with-host": ("--steps steps.csv", "--with-host"),
        },
    ),
    "sweep": Call(
        "sweep.yaml --out out --workers 1",
        {
            "--software": "--software tuned",
            "--out": "--out other",
            "--backend": "--backend dask",
            "--scheduler": "--scheduler tcp://127.0.0.1:1",
            "--optimize": "--optimize 2",
            "--lang": "--lang ko",
        },
    ),
    "fleet": Call(
        f"rngd {MODEL} --profile users.yaml --users 1e6 --slo ttft_p99=1s,tpot_p99=40ms --cards 1 --workers 1",
        PLACING
        | {
            "--plan": ("--tp 1", "--plan tp2"),
            "--users": "--users 2e6",
            "--slo": "--slo tpot_p99=20ms",
            "--profile": "--profile longer.yaml",
            "--offline": "--offline tokens_per_day=1e9",
            "--direct": "--direct 2",
            "--routing": ("--direct 3", "--routing round_robin"),
            "--load": ("--direct 2", f"--load {SAMPLES / 'load-tiny.yaml'}"),
            "--trace": ("--direct 2", "--trace recorded.csv"),
            "--link": "--link infiniband-ndr",
            "--autoscale": "--autoscale nvme",
            "--ready-time": ("--autoscale nvme", "--ready-time 60"),
            "--out": "--out out",
            "--lang": ("--out out", "--lang ko"),
            "--emit": ("--out out", "--emit kubernetes --image server:1"),
            "--image": ("--out out --emit kubernetes --image server:1", "--image server:2"),
            "--backend": "--backend dask",
            "--scheduler": "--scheduler tcp://127.0.0.1:1",
            "--seed": "--seed 3",
        },
    ),
    "evaluate": Call(
        "proposal.yaml --out page.html",
        {
            "--software": "--software tuned",
            "--out": "--out other.html",
            "--lang": "--lang ko",
            "--rule": "--rule partial-credit",
            "--seed": "--seed 3",
        },
    ),
    "check": Call(
        str(SUMMARY),
        {
            "--arch": "--arch h200",
            "--model": "--model qwen2.5-0.5b",
            "--precision": "--precision fp8",
            "--kv-precision": "--kv-precision fp8",
            "--cards": "--cards 2",
            "--tp": ("--cards 2", "--tp 1"),
            "--runtime": "--runtime furiosa-llm-2026.2",
            "--speculate": "--speculate ngram:k=2",
            "--isl": "--isl 300",
            "--osl": "--osl 99",
            "--users": "--users 7",
            "--plan": ("--cards 2", "--plan tp2"),
            "--prefix-caching": "--prefix-caching",
            "--prompts": "--prompts alike",
            "--lengths": "--lengths ±20%",
            "--out": "--out out",
            "--lang": ("--out out", "--lang ko"),
            "--seed": "--seed 3",
        },
    ),
    "pim gemv": Call(
        "hbm3e-pim --out 4096 --in 4096",
        BENCH | {"--out": "--out 8192", "--in": "--in 8192", "--batch": "--batch 2"},
    ),
    "pim attention": Call(
        "attacc-bank --heads 8 --kv 1024",
        BENCH | {
            "--placement": "--placement buffer",
            "--heads": "--heads 16",
            "--kv": "--kv 2048",
            "--head-dim": "--head-dim 64",
            "--kv-heads": "--kv-heads 2",
            "--batch": "--batch 2",
        },
    ),
    "pim stream": Call(
        "hbm3e-pim --op add --elements 65536", BENCH | {"--op": "--op relu", "--elements": "--elements 131072"}
    ),
    "pim compare": Call(
        f"lpddr5x-pim {MODEL} --isl 32 --osl 4 --draws 2",
        PLACING | {
            "--precision": "--precision w8a16",
            "--isl": "--isl 64",
            "--osl": "--osl 5",
            "--concurrency": "--concurrency 2",
            "--draws": "--draws 3",
            "--out": "--out out",
            "--seed": "--seed 3",
        },
    ),
    "collective": Call(
        "h200 --op all_reduce --bytes 1MiB --ranks 4",
        {
            "--op": "--op all_gather",
            "--bytes": "--bytes 2MiB",
            "--ranks": "--ranks 2",
            "--groups": "--groups 2",
            "--algorithm": "--algorithm ring",
            "--library": "--library none",
            "--within": "--within chip",
            "--interval": "--interval",
            "--seed": ("--interval", "--seed 3"),
            "--uncalibrated": "--uncalibrated",
        },
    ),
    "neuromorphic": Call(
        "pops-projection --claim 1POPS --neurons 1000000",
        {
            "--claim": "--claim 2POPS",
            "--counted": "--counted synapses",
            "--operations": "--operations 2",
            "--width": "--width 8",
            "--activity": "--activity 0.02",
            "--fan-in": "--fan-in 100",
            "--neurons": "--neurons 2000000",
            "--rate": "--rate 1000",
            "--power-limit": "--power-limit 20",
            "--layers": ("--layers hybrid.yaml --dense rngd", "--layers hybrid2.yaml"),
            "--dense": ("--layers hybrid.yaml --dense rngd", "--dense h200"),
        },
    ),
    "dram": Call(
        "hbm3-6400 --requests 600 --outstanding 16",
        {
            "--pattern": "--pattern random",
            "--mapping": "--mapping rocol",
            "--refresh": "--refresh off",
            "--outstanding": "--outstanding 32",
            "--stride": ("--pattern stride", "--stride 64"),
            "--block": ("--pattern random", "--block 4096"),
            "--write-fraction": "--write-fraction 0.5",
            "--write-mode": ("--write-fraction 0.5", "--write-mode stream"),
            "--requests": "--requests 700",
            "--channels": "--channels 2",
            "--pseudo-channels": "--pseudo-channels 2",
            "--seed": ("--pattern random", "--seed 3"),
        },
    ),
    "import": Call(
        "open.pt2 --dim s0=2",
        {"--arch": "--arch rngd", "--dim": "--dim s1=2"},
    ),
    "precision": Call(
        f"{MODEL} --scheme fp8",
        {"--scheme": "--scheme int8", "--kv-precision": "--kv-precision fp8", "--seed": "--seed 3"},
    ),
    "generate": Call(
        "chat --requests 9", {"--out": "--out drawn.jsonl", "--requests": "--requests 8", "--seed": "--seed 3"}
    ),
    "swap": Call(
        f"rngd {MODEL} llama-3.1-8b --kv-tokens 100",
        PLACING | {
            "--from": "--from nvme",
            "--kv-tokens": "--kv-tokens 200",
            "--ready-time": "--ready-time 3",
        },
    ),
    "verify-run": Call("nothing.json", {}),
    "certify": Call(
        "handed",
        {
            "--rules": "--rules rules.yaml",
            "--declared": "--declared declared.yaml",
            "--out": "--out certificate.html",
            "--lang": ("--out certificate.html", "--lang ko"),
            "--seed": "--seed 3",
        },
    ),
    "compare": Call(
        "handed handed2",
        {
            "--coverage": "--coverage 3",
            "--out": "--out compared.html",
            "--lang": ("--out compared.html", "--lang ko"),
        },
    ),
    "plan-tests": Call(
        f"cells.yaml --budget 0.6 --models {MODEL}",
        {
            "--budget": "--budget 0.2",
            "--arch": "--arch h200",
            "--models": "--models llama-3.1-8b",
            "--precision": "--precision fp8",
            "--uncertainty": "--uncertainty 0.01",
            "--hidden": "--hidden 0.6",
            "--sampling": "--sampling sampling.yaml",
            "--seed": "--seed 3",
        },
    ),
    "evidence add": Call(
        "begun short.yaml --date 2026-12-01",
        {"--environment": "--environment environment.yaml", "--date": "--date 2026-12-02"},
    ),
    "evidence seal": Call("unsealed --date 2026-12-01", {"--date": "--date 2026-12-02"}),
    "evidence key": Call("new-key", {}),
    "evidence sign": Call("sealed --key key", {"--key": "--key other"}),
    "evidence verify": Call("signed", {"--public": "--public key.pub"}),
}  # fmt: skip
HOW = {("sweep", "--workers"), ("fleet", "--workers"), ("kperf", "--workers"), ("verify-run", "--minutes")}
"""Options that say how the work is done and must change no byte of what comes out; each has a test of its own."""
RECORDS = ("manifest.json", "sweep.json")
"""Files that hold the words of the command themselves."""
COMMON = {"as_json", "help", "language"}
"""Options of every command that are not those of its function; `test_korean_output.py` sees what --lang changes."""


def _commands(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from _commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


COMMANDS = dict(_commands(npusim))
OPTIONS = [
    (name, option)
    for name, command in COMMANDS.items()
    for option in command.params
    if isinstance(option, click.Option) and option.name not in COMMON
]


def _grid(name: str, isl: int, osl: int = 4, users: int = 1) -> str:
    return GRID.format(name=name, isl=isl, osl=osl, users=users)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the calls read."""
    made = tmp_path_factory.mktemp("options")
    (made / "short.yaml").write_text(_grid("short", 64))
    (made / "long.yaml").write_text(_grid("long", 96))
    (made / "crowd.yaml").write_text(_grid("crowd", 64, users=64))
    (made / "measured.yaml").write_text(_grid("measured", 1024, osl=1024))
    exported(made / "open.pt2", open_dimension)
    (made / "sweep.yaml").write_text(SWEEP)
    hybrid = (EXAMPLES / "dnn-snn-hybrid.yaml").read_text(encoding="utf-8")
    (made / "hybrid.yaml").write_text(hybrid)
    (made / "hybrid2.yaml").write_text(hybrid.replace("steps: 4", "steps: 8"))
    users = (SAMPLES / "profile-small.yaml").read_text(encoding="utf-8")
    (made / "users.yaml").write_text(users, encoding="utf-8")
    (made / "recorded.csv").write_text(RECORDED, encoding="utf-8")
    (made / "longer.yaml").write_text(users.replace("value: 60 token", "value: 80 token"), encoding="utf-8")
    (made / "proposal.yaml").write_text(PROPOSAL)
    (made / "own").mkdir()
    few_ranges(made / "own")
    few_steps(made / "steps.csv", every=40)
    heading, *rows = (STEPS.parent / "ops.csv").read_text(encoding="utf-8").splitlines()
    (made / "ops.csv").write_text("\n".join([heading, *rows[:: len(rows) // OPERATORS], ""]))
    _of_labs(made)
    words = ("rngd", "--models", "llama-3.1-8b", "--grid", made / "measured.yaml", "--cards", "1")
    assert tell("predict", *words, "--register", "--out", made / "scored.json").code == 0
    return made


def _of_labs(made: Path) -> None:
    """What the procedures of test labs read."""
    for name, noises in (("handed", NOISE), ("handed2", NOISE[:2])):
        (made / name).mkdir()
        (made / name / "submission.yaml").write_text(SUBMISSION)
        for number, noise in enumerate(noises):
            (made / name / f"run{number}.json").write_text(json.dumps(bench(noise + 0.001 * len(noises))))
    shipped = data_root("rules")
    rules = (shipped / "npusim-1.yaml").read_text(encoding="utf-8")
    (made / "rules.yaml").write_text(rules.replace("grid: furiosa-perf-32k", "grid: quick"))
    sampling = (shipped / "sampling" / "npusim-1.yaml").read_text(encoding="utf-8")
    (made / "sampling.yaml").write_text(sampling.replace("value: 300 s", "value: 200 s"))
    (made / "declared.yaml").write_text(SUBMISSION[SUBMISSION.index("declared:") :].replace("675", "760"))
    cells = _grid("cells", 64).replace("[1]", "[1, 4, 16]")
    (made / "cells.yaml").write_text(f"{cells}  - {{isl: 256, osl: 8, users: [1, 8]}}\n")
    (made / "environment.yaml").write_text("device_serial: A1\n")
    for name in ("key", "other"):
        evidence_key(made / name)
    for name in ("unsealed", "sealed", "signed"):
        evidence_add(made / name, [made / "short.yaml"], date="2026-12-01")
    for name in ("sealed", "signed"):
        evidence_seal(made / name, date="2026-12-01")
    evidence_sign(made / "signed", key=made / "key")


@dataclass
class Outcomes:
    """What calls gave, each run once."""

    folder: Path
    patch: pytest.MonkeyPatch
    known: dict[str, tuple[object, Told]] = field(default_factory=dict)

    def of(self, words: str) -> tuple[object, Told]:
        """All that a call changed: its answer and its files, without what says when and how it was made."""
        if words not in self.known:
            before = self._files()
            with self.patch.context() as patch:
                patch.chdir(self.folder)
                told = tell(*words.split(), "--json")
            after = self._files()
            new = {name: content for name, content in after.items() if before.get(name) != content}
            for name in new:
                (self.folder / name).unlink()
            self.known[words] = ((told.code, _settled(told.out), _read(new)), told)
        return self.known[words]

    def _files(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.folder)): path.read_bytes() for path in self.folder.rglob("*") if path.is_file()
        }


def _settled(out: str) -> str:
    """The answer without its manifest and the seconds that it took."""
    text = re.sub(r'"manifest": \{.*?\n  \}', "", out, flags=re.DOTALL)
    return re.sub(r'"(sim_seconds|sha256)": \S+', "", text)


def _read(files: dict[str, bytes]) -> dict[str, object]:
    """What files tell, without the words of the command that made them."""
    return {name: _content(Path(name), content) for name, content in files.items() if Path(name).name not in RECORDS}


def _content(path: Path, content: bytes) -> object:
    if path.suffix == ".html":
        return re.findall(r"<(?:html|title|h\d)[^>]*>[^<]*", content.decode())
    if path.suffix != ".xlsx":
        return content
    sheets = load_workbook(io.BytesIO(content), read_only=True)
    cells = [list(sheet.iter_rows(values_only=True)) for sheet in sheets]
    return [rows for rows in cells if not any("argv" in str(cell) for row in rows for cell in row)]


@pytest.fixture(scope="module")
def outcomes(folder: Path) -> Iterator[Outcomes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(capacity, "REQUESTS", 60)
        patch.setattr(numbers, "MACHINES", 3)
        patch.setattr(anew, "CASES", 1)
        patch.setattr(routed, "_REQUESTS", 60.0)
        yield Outcomes(folder, patch)


@pytest.mark.parametrize(("name", "option"), OPTIONS, ids=lambda each: each if isinstance(each, str) else each.opts[0])
def test_a_changed_option_changes_something_or_something_is_said(
    name: str, option: click.Option, outcomes: Outcomes
) -> None:
    if (name, option.opts[0]) in HOW:
        return
    call = CALLS[name]
    change = call.changes[option.opts[0]]
    beside, words = change if isinstance(change, tuple) else ("", change)
    base = " ".join(filter(None, (name, call.base, beside)))
    plain, told = outcomes.of(base)
    assert told.code == 0, told.err
    changed, said = outcomes.of(f"{base} {words}")
    assert said.code in (0, 2), said.err
    assert changed != plain or f"warning: {option.opts[0]}" in said.err


def test_the_table_has_an_entry_for_every_option() -> None:
    asked = {(name, option.opts[0]) for name, option in OPTIONS} - HOW
    assert {(name, option) for name, call in CALLS.items() for option in call.changes} == asked
    assert CALLS.keys() == COMMANDS.keys()


@pytest.mark.parametrize(("name", "option"), OPTIONS, ids=lambda each: each if isinstance(each, str) else each.opts[0])
def test_a_help_line_is_a_sentence(name: str, option: click.Option) -> None:
    told = option.help or ""
    assert re.fullmatch(r"[A-Z].*\.", told) and len(told.split()) >= 4, f"{name} {option.opts[0]}: {told}"


def test_workers_change_how_and_not_what(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Backend] = []
    real = sweep_run.run_sweep

    def spied(spec: SweepSpec, location: str, out: Path, backend: Backend, say: Tell) -> object:
        asked.append(backend)
        return real(spec, location, out, Backend(), say)

    monkeypatch.setattr(sweep_run, "run_sweep", spied)
    monkeypatch.chdir(folder)
    assert tell("sweep", "sweep.yaml", "--out", "work", "--workers", "2").code == 0
    assert asked == [Backend("local", 2)]


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (f"{STEP} --ttft-limit 3", ("--ttft-limit", "--plan auto alone")),
        (f"{RUN} --objective tpot", ("--objective", "--plan auto alone")),
        (f"{RUN} --plan auto --ttft-limit nan", ("--ttft-limit", "finite")),
        (f"{RUN} --seed 1180591620717411303424", ("--seed", "at most")),
        (f"{RUN} --arrival poisson:1e-12", ("--arrival", "1e-12")),
        (f"{STEP} --trace t.json", ("--trace", "--engine event")),
        (f"{STEP} --query 3", ("--query", "--phase prefill")),
        ("dram hbm3-6400 --requests 300 --stride 64", ("--stride", "--pattern stride")),
        ("dram hbm3-6400 --requests 300 --block 4096", ("--block", "--pattern random")),
        ("dram hbm3-6400 --requests 300 --write-mode stream", ("--write-mode", "--write-fraction")),
        (f"{REDUCTION} --groups 2", ("--groups", "--within server")),
        ("predict rngd --out pack.json", ("--out", "--register")),
        ("predict rngd --date 2026-01-01", ("--date", "--register")),
        ("validate steps.csv --engine event --interval", ("--interval", "--engine analytic")),
        ("sweep sweep.yaml --out never --workers 1000000", ("--workers", "at most")),
        ("sweep sweep.yaml --out never --optimize 2 --workers 2", ("--workers", "--optimize")),
        ("sweep sweep.yaml --out never --optimize 2 --backend ray", ("--backend", "--optimize")),
        ("sweep sweep.yaml --out never --backend ray --workers 2", ("--workers", "--backend local")),
        (f"pim compare lpddr5x-pim {MODEL} --plan auto", ("--plan", "auto")),
        (f"pim compare lpddr5x-pim {MODEL} --offload none", ("--offload",)),
        (f"pim compare lpddr5x-pim {MODEL} --objective tpot", ("--objective",)),
    ],
)  # fmt: skip
def test_an_option_without_an_effect_is_refused(
    words: str, parts: tuple[str, ...], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    line = mistake(*words.split())
    assert all(part in line for part in parts), line
    assert not (folder / "never").exists()


@pytest.mark.parametrize(
    "words",
    [
        f"{STEP} --seed 3",
        "collective h200 --op all_reduce --bytes 1MiB --ranks 4 --seed 3",
        "collective h200 --op all_reduce --bytes 1MiB --ranks 4 --uncalibrated",
        "pim gemv hbm3e-pim --out 64 --in 64 --seed 3",
        "pim gemv aim --out 64 --in 64 --no-power-limit",
        "dram hbm3-6400 --requests 300 --seed 3",
        f"step h100 {MODEL} --phase decode --batch 1 --context 64 --uncalibrated",
        f"run h200 {MODEL} --isl 64 --osl 4 --concurrency 1 --seed 3",
    ],
)
def test_an_option_that_changes_nothing_here_is_told_in_one_line(words: str) -> None:
    told = tell(*words.split())
    option = next(word for word in reversed(words.split()) if word.startswith("--"))
    assert told.code == 0
    assert [line for line in told.err.splitlines() if line.startswith(f"warning: {option}: ")], told.err


def test_what_a_pack_says_it_was_predicted_under_is_what_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    words = ("predict", "rngd", "--models", MODEL, "--grid", "short.yaml", "--plan", "tp2", "--json")
    assert {cell["plan"] for cell in tell(*words).json["cells"]} == {"TP2"}
