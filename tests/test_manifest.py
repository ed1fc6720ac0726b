"""The manifest: complete, the same again, and silent about this machine's folders."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from npusim import manifest as module
from npusim.hardware.data import data_root
from npusim.inputs import read_text, recording
from npusim.manifest import LIBRARIES, build_manifest, code_sha256


def _git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    command = ["git", *identity, *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    package = tmp_path / "npusim"
    package.mkdir()
    (package / "__init__.py").write_text("")
    for folder in ("arch_configs", "workloads"):
        (tmp_path / folder).mkdir()
    _git(tmp_path, "init", "-q")
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def test_keys_versions_and_repeatability(tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("name: mine\n")
    with recording() as read:
        read_text(config)
        read_text(config)
    manifest = build_manifest(["list", "archs"], 7, read.files, {"grid": "quick"})
    assert set(manifest) == {"npusim", "code_sha256", "git", "seed", "argv", "configs", "machine", "libraries", "grid"}
    assert manifest["seed"] == 7
    assert manifest["configs"] == [{"file": "mine.yaml", "sha256": hashlib.sha256(b"name: mine\n").hexdigest()}]
    assert set(manifest["machine"]) == {"processors", "python", "system", "architecture"}
    assert set(manifest["libraries"]) == set(LIBRARIES)
    assert all(manifest["libraries"].values())
    assert manifest == build_manifest(["list", "archs"], 7, read.files, {"grid": "quick"})
    json.dumps(manifest, allow_nan=False)


def test_no_folder_of_this_machine_is_told(tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("name: mine\n")
    words = ["kperf", str(config), f"--out={tmp_path}/out", "--models", f"{config},llama-3.1-8b", "near/by.yaml"]
    with recording() as read:
        read_text(config)
    manifest = build_manifest(words, 0, read.files)
    assert str(tmp_path) not in json.dumps(manifest)
    assert manifest["argv"] == ["kperf", "mine.yaml", "--out=out", "--models", "mine.yaml,llama-3.1-8b", "near/by.yaml"]


def test_git_tells_commit_and_changes_of_code_and_data_only(checkout: Path) -> None:
    commit = _git(checkout, "rev-parse", "HEAD")
    (checkout / "out.csv").write_text("a result\n")
    assert module._git_state(checkout / "npusim") == {"commit": commit, "dirty": False}
    (checkout / "workloads" / "new.json").write_text("{}")
    assert module._git_state(checkout / "npusim") == {"commit": commit, "dirty": True}


def test_no_git_outside_a_checkout_of_the_package(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert module._git_state(tmp_path_factory.mktemp("plain")) is None
    installed = checkout / "venv" / "npusim"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")
    assert module._git_state(installed) is None


def test_no_git_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert build_manifest([], None, [])["git"] is None


def test_the_manifest_needs_no_heavy_library() -> None:
    code = "import sys, npusim.manifest; print({'numpy', 'numba', 'pandas', 'pydantic'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


def test_the_code_is_known_by_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed wheel has no git state; its descriptions are recorded as they are read."""
    package = tmp_path / "npusim"
    (package / "data").mkdir(parents=True)
    (package / "__pycache__").mkdir()
    (package / "a.py").write_text("a = 1\n")
    monkeypatch.setattr(module, "_PACKAGE", package)
    code_sha256.cache_clear()
    before = code_sha256()
    for name in ("data/x.yaml", "__pycache__/a.pyc"):
        (package / name).write_text("x")
        code_sha256.cache_clear()
        assert code_sha256() == before
    for change in ("a = 2\n", "a = 1\n"):
        (package / "a.py").write_text(change)
        code_sha256.cache_clear()
        assert (code_sha256() == before) == (change == "a = 1\n")
    (package / "a.py").rename(package / "b.py")
    code_sha256.cache_clear()
    assert code_sha256() != before
    code_sha256.cache_clear()


def test_shipped_files_are_told_by_their_folder() -> None:
    with recording() as read:
        for path in ("runtimes/vllm.yaml", "memories/streams.json"):
            read_text(data_root("arch_configs") / path)
    told = [(each["folder"], each["file"]) for each in build_manifest([], 0, read.files)["configs"]]
    assert told == [("arch_configs/memories", "streams.json"), ("arch_configs/runtimes", "vllm.yaml")]
