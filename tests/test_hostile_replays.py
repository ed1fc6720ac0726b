"""A manifest that a stranger hands in: what it may have npusim do when `verify-run` runs it again, and what not."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from cli_support import STEP, mistake, process, tell
from hypothesis import given
from hypothesis import strategies as st

import npusim
from npusim.api.options import Option, declared_options
from npusim.api.replaying import REPLAYED, replay
from npusim.cli.main import npusim as commands
from npusim.errors import UserError
from npusim.lab import verify_run

DRAM = ("dram", "hbm3-6400", "--requests", "300", "--json")
EVIL = "import pathlib; pathlib.Path({hacked!r}).touch()\n"
GRID = "{name: g, title: g, source: g, arrival: burst, requests_per_user: 1, points: [{isl: 64, osl: 8, users: [1]}]}"
NUMBA_SETTINGS = "cache_dir: {kernels}\ndisable_jit: 1\n"


@pytest.fixture
def answer(tmp_path: Path) -> Path:
    """A saved answer of a quick command, in a folder of its own."""
    path = tmp_path / "handed-in" / "answer.json"
    path.parent.mkdir()
    path.write_text(tell(*DRAM).out)
    return path


@pytest.fixture
def stamped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """`stamped(argv, *files)`: an answer to those words in the folder of work, which records the files."""
    monkeypatch.chdir(tmp_path)

    def write(argv: list[str], *configs: dict[str, str]) -> Path:
        record = {"argv": argv, "configs": list(configs), "libraries": {}, "npusim": "0"}
        path = tmp_path / "answer.json"
        path.write_text(json.dumps({"manifest": record}))
        return path

    return write


def _snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_no_code_of_a_folder_is_run(answer: Path, tmp_path: Path) -> None:
    """Neither modules that stand for npusim or its libraries, nor what these or Python look for beside them."""
    folder, hacked, kernels = answer.parent, tmp_path / "hacked", tmp_path / "kernels"
    code = EVIL.format(hacked=str(hacked))
    for name in ("npusim", "numba", "numpy", "matplotlib", "npusim/cli"):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "__init__.py").write_text(code)
    for name in ("npusim/__main__.py", "sitecustomize.py", "usercustomize.py", "conftest.py", "json.py", "scipy.py"):
        (folder / name).write_text(code)
    (folder / "evil.pth").write_text(code)
    (folder / "matplotlibrc").write_text("backend: module://scipy\n")
    (folder / ".numba_config.yaml").write_text(NUMBA_SETTINGS.format(kernels=kernels))
    root = str(Path(npusim.__file__).parent.parent)
    start = f"import sys; sys.path.insert(0, {root!r}); from npusim.cli.main import main; sys.exit(main())"
    verify = [sys.executable, "-P", "-c", start, "verify-run", answer.name, "--json"]
    done = subprocess.run(verify, cwd=folder, capture_output=True, text=True)
    assert json.loads(done.stdout)["holds"] is True, done.stderr
    assert not hacked.exists() and not kernels.exists()


def test_compiled_code_of_a_folder_is_not_taken(tmp_path: Path) -> None:
    """Numba looks for settings, its folder of kernels among them, in the current folder whenever it compiles."""
    kernels = tmp_path / "theirs"
    (tmp_path / ".numba_config.yaml").write_text(NUMBA_SETTINGS.format(kernels=kernels))
    start = (
        "import npusim.compilation as own, numba\n"
        "@numba.njit\n"
        "def add(a):\n    return a + 1\n"
        "before = numba.config.CACHE_DIR, numba.config.DISABLE_JIT\n"
        "assert add(1) == 2 and (numba.config.CACHE_DIR, numba.config.DISABLE_JIT) == before == (before[0], 0)\n"
        f"assert not own.DISABLED and before[0] != {str(kernels)!r}\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    environment["PYTHONPATH"] = str(Path(npusim.__file__).parent.parent)
    done = subprocess.run([sys.executable, "-P", "-c", start], cwd=tmp_path, capture_output=True, env=environment)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "argv",
    [
        [*STEP, "--engine", "event", "--trace", "victim.txt"],
        [*STEP, "--engine", "event", "--trace=../victim.txt"],
        ["check", "lab", "--arch", "rngd", "--out", "."],
        ["check", "lab", "--arch", "rngd", "--out", "../.."],
        ["kperf", "rngd", "--models", "qwen2.5-0.5b", "--grid", "g.yaml", "--no-interval", "--out", "link"],
    ],
)
def test_nothing_but_the_scratch_folder_is_written(
    stamped: Callable[..., Path], tmp_path: Path, argv: list[str]
) -> None:
    (tmp_path / "victim.txt").write_text("mine")
    (tmp_path / "lab").mkdir()
    sample = Path(__file__).parent / "samples" / "lab" / "RNGD_1_furiosa-llm_2026.3.0"
    source = next(sample.rglob("summary*.csv"))
    (tmp_path / "lab" / source.name).write_bytes(source.read_bytes())
    (tmp_path / "g.yaml").write_text(GRID)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kperf.csv").write_text("mine")
    (tmp_path / "link").symlink_to("elsewhere")
    digest = hashlib.sha256((tmp_path / "g.yaml").read_bytes()).hexdigest()
    path = stamped(argv, {"file": "g.yaml", "sha256": digest})
    before = _snapshot(tmp_path)
    told = tell("verify-run", path, "--json")
    assert told.code == 1 and not json.loads(told.out)["holds"]
    assert _snapshot(tmp_path) == before


NAMES = sorted({name for each in REPLAYED.values() for one in declared_options(each) for name in one.names})
WORDS = st.one_of(
    st.sampled_from(
        sorted({name for each in REPLAYED.values() for one in declared_options(each) for name in one.names})
    ),
    st.sampled_from(
        ["--", "-", "--json", "..", "../..", "a", "a.yaml", "--out=../x", "--trace=-", "=", "--out=", "tcp://h:1"]
    ),
    st.text(max_size=8),
)


@given(st.sampled_from(sorted(REPLAYED)), st.lists(WORDS, max_size=8))
def test_whatever_the_words_are_outputs_are_in_the_scratch_folder(
    tmp_path_factory: pytest.TempPathFactory, command: str, words: list[str]
) -> None:
    """As the command line itself reads the words that are run: no other output, and no address."""
    scratch = tmp_path_factory.getbasetemp() / "scratch"
    scratch.mkdir(exist_ok=True)
    try:
        again = replay([*command.split(), *words], scratch, "m.json")
    except UserError:
        return
    own: Any = commands
    for name in command.split():
        own = own.get_command(None, name)
    try:
        given_values, _, _ = own.make_parser(click.Context(own)).parse_args(list(again.words[len(command.split()) :]))
    except click.UsageError:
        return
    outputs = {each.field for each in declared_options(REPLAYED[command]) if _writes(each.told)}
    for name, value in given_values.items():
        assert name not in ("backend", "scheduler")
        if name in outputs:
            assert Path(os.path.normpath(value)).is_relative_to(scratch)


def _writes(told: object) -> bool:
    return isinstance(told, Option) and told.writes is not None


def test_words_that_npusim_never_records_are_refused(stamped: Callable[..., Path], tmp_path: Path) -> None:
    for argv, part in (
        (["check", "/etc"], "absolute path /etc"),
        (["kperf", "rngd,/etc/passwd", "--out", "o"], "absolute path"),
        (["run", "rngd", "m", "--runtime", "/etc/passwd"], "absolute path"),
        ([*STEP, "--trace", "\0"], "cannot be run"),
        ([*STEP[:2], "a" * 3_000_000, *STEP[3:]], "cannot be run"),
    ):
        assert part in mistake("verify-run", stamped(argv)), argv[:3]


def test_files_are_taken_by_their_digest(stamped: Callable[..., Path], tmp_path: Path) -> None:
    """A file that a manifest names without having recorded it is not read, nor one that was changed since."""
    (tmp_path / "secret.yaml").write_text("{password: hunter2}")
    told = tell("verify-run", stamped(["show", "secret.yaml"]))
    assert told.code == 2 and "none of those recorded" in told.err and "hunter2" not in told.out + told.err
    (tmp_path / "mine.yaml").write_text("{extends: rngd, name: mine, title: mine}")
    done = process("show", "mine.yaml", "--json", folder=tmp_path)
    (tmp_path / "saved.json").write_text(done.stdout)
    assert tell("verify-run", "saved.json", "--json").json["holds"] is True
    (tmp_path / "mine.yaml").write_text("{extends: rngd, name: mine, title: mine} ")
    assert "mine.yaml" in mistake("verify-run", "saved.json")


def test_no_address_is_dialled(stamped: Callable[..., Path], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        spec = tmp_path / "s.yaml"
        spec.write_text(
            "{name: s, arch: rngd, models: [qwen2.5-0.5b], workloads: [{isl: 64, osl: 8, users: [1]}],"
            " vary: {chip.unit.clock: {values: [1 GHz]}}, objectives: {output_tokens_per_s: max}}"
        )
        recorded = {"file": "s.yaml", "sha256": hashlib.sha256(spec.read_bytes()).hexdigest()}
        for backend in ("dask", "ray"):
            words = ["sweep", "s.yaml", "--backend", backend, "--scheduler", address, "--out", "o"]
            assert tell("verify-run", stamped(words, recorded), "--json").code == 1
        server.settimeout(0.1)
        with pytest.raises(TimeoutError):
            server.accept()
    for url in (address, "http://127.0.0.1:9/x.yaml", "s3://bucket/x.yaml", "ray://127.0.0.1:10001"):
        assert "fails now" in mistake("verify-run", stamped(["show", url]))


def test_a_command_that_does_not_end_is_ended_with_its_workers(stamped: Callable[..., Path], tmp_path: Path) -> None:
    words = ["kperf", "rngd", "--models", "llama-3.1-8b", "--out", "o"]
    assert "was ended after 0.05 minutes" in mistake("verify-run", stamped(words), "--minutes", "0.05")
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert str(tmp_path) not in left and not [line for line in left.splitlines() if "npusim-verify-" in line]


def test_what_is_written_has_a_limit(stamped: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_run, "_MOST_WRITTEN", 1000)
    assert "fails now" in mistake("verify-run", stamped(list(DRAM[:-1])))


def test_a_folder_stands_for_its_manifest(stamped: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "g.yaml").write_text(GRID)
    words = ("--models", "qwen2.5-0.5b", "--grid", "g.yaml", "--no-interval", "--out", "out")
    assert tell("kperf", "rngd", *words).code == 0
    assert tell("verify-run", "out", "--json").json["same"] == ["kperf.csv", "kperf.xlsx"]
    (tmp_path / "victim.csv").write_bytes((tmp_path / "out" / "kperf.csv").read_bytes())
    (tmp_path / "out" / "kperf.csv").unlink()
    os.mkfifo(tmp_path / "out" / "kperf.csv")
    assert "DIFFERENT: kperf.csv" in tell("verify-run", "out").out
