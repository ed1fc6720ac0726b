"""The cache of compiled kernels: its folder follows the sources, and old ones go."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import pytest
from numba.core.codegen import JITCodeLibrary

import npusim
from npusim import compilation, kernel_folder
from npusim.compilation import kernel

PACKAGE = Path(npusim.__file__).parent
COMPILED = kernel_folder._COMPILED_PARTS
PROBE = """
from npusim.compilation import kernel

@kernel
def double(x):
    return x + x

assert double(2.5) == 5.0
"""


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package that the cache takes for its own."""
    folder = tmp_path / "copy" / "npusim"
    shutil.copytree(PACKAGE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(kernel_folder, "_PACKAGE", folder)
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    return folder


def _folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    compilation._use_own_cache()
    return Path(numba.config.CACHE_DIR)


def test_the_folder_is_named_after_the_sources(copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _folder(tmp_path, monkeypatch)
    assert first.parent == tmp_path / "npusim"
    assert re.fullmatch(r"kernels-[0-9a-f]{16}", first.name)
    assert _folder(tmp_path, monkeypatch) == first
    monkeypatch.setattr(kernel_folder, "_PACKAGE", PACKAGE)
    assert _folder(tmp_path, monkeypatch) == first


@pytest.mark.parametrize(
    "changed", ["dtypes.py", "hardware/machine.py", "mapping/optable.py", "kernels/memory.py", "engine/run.py"]
)
def test_a_changed_source_changes_the_folder(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    before = _folder(tmp_path, monkeypatch)
    text = (copied / changed).read_text(encoding="utf-8")
    (copied / changed).write_text(f"{text}\nMORE = 1\n", encoding="utf-8")
    assert _folder(tmp_path, monkeypatch) != before
    (copied / changed).write_text(text, encoding="utf-8")
    assert _folder(tmp_path, monkeypatch) == before


def test_new_and_renamed_sources_change_the_folder(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [_folder(tmp_path, monkeypatch)]
    (copied / "kernels" / "more.py").write_text("", encoding="utf-8")
    folders.append(_folder(tmp_path, monkeypatch))
    (copied / "kernels" / "more.py").rename(copied / "kernels" / "other.py")
    folders.append(_folder(tmp_path, monkeypatch))
    assert len(set(folders)) == 3


def test_sources_that_are_not_compiled_leave_the_folder(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _folder(tmp_path, monkeypatch)
    for name in ("serving/server.py", "cli/main.py", "ledger.py"):
        (copied / name).write_text("", encoding="utf-8")
    assert _folder(tmp_path, monkeypatch) == before


def test_every_compiled_source_counts() -> None:
    """A kernel elsewhere would be missed."""
    users = [path for path in PACKAGE.rglob("*.py") if re.search(r"@kernel|njit", path.read_text("utf-8"))]
    assert len(users) > 10
    for path in users:
        parts = path.relative_to(PACKAGE).parts
        assert any(parts[: part.count("/") + 1] == tuple(part.split("/")) for part in COMPILED), path


def test_only_the_newest_folders_are_kept(copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "npusim"
    for age in range(5):
        folder = root / f"kernels-{age}"
        folder.mkdir(parents=True)
        os.utime(folder, (1e9 - age, 1e9 - age))
    (root / "notes").mkdir()
    own = _folder(root.parent, monkeypatch)
    assert sorted(path.name for path in root.iterdir()) == ["kernels-0", "kernels-1", "notes"]
    own.mkdir()
    (root / "kernels-9").mkdir()
    _folder(root.parent, monkeypatch)
    assert {"kernels-0", "kernels-1", "kernels-9", own.name} <= {path.name for path in root.iterdir()}


def test_without_a_writable_home_it_lies_in_a_temporary_folder_of_this_user_alone(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("MPLCONFIGDIR", "")
    monkeypatch.delenv("MPLCONFIGDIR")
    private = tmp_path / f"npusim-{os.geteuid()}"
    assert _folder(tmp_path / "file", monkeypatch).parent == private / "npusim"
    assert private.stat().st_mode & 0o777 == 0o700
    assert os.environ["MPLCONFIGDIR"] == str(private / "matplotlib")
    private.chmod(0o777)
    assert not _folder(tmp_path / "file", monkeypatch).is_relative_to(private), "others could put code there"


def test_a_folder_that_the_user_chose_is_used(copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "chosen"))
    monkeypatch.setattr(numba.config, "CACHE_DIR", "as it was")
    assert _folder(tmp_path, monkeypatch) == Path("as it was")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chosen", "copy"]


def test_a_kernel_is_kept_in_the_folder(tmp_path: Path) -> None:
    probe = tmp_path / "probe.py"
    probe.write_text(PROBE, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    environment |= {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run([sys.executable, str(probe)], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-500:]
    (own,) = (tmp_path / "cache" / "npusim").iterdir()
    assert own.name.startswith("kernels-")
    assert list(own.rglob("probe.double-*.nbc"))


@kernel
def _half(x):  # type: ignore[no-untyped-def]
    return 0.5 * x


@kernel
def _quarter(x):  # type: ignore[no-untyped-def]
    if x < 0.0:
        raise ValueError("below zero")
    return _half(_half(x))


@pytest.fixture
def emitted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the functions of which machine code is made, none of them from the cache."""
    names: list[str] = []
    emit = JITCodeLibrary._finalize_specific

    def counted(library: JITCodeLibrary) -> None:
        names.append(library.name)
        emit(library)

    monkeypatch.setattr(JITCodeLibrary, "_finalize_specific", counted)
    monkeypatch.setattr(compilation, "_IS_KEPT", False)
    return names


def test_kernels_become_machine_code_with_their_entry_alone(emitted: list[str]) -> None:
    assert "pipeline_class" in compilation._PART, "try this version of numba, then name it in compilation._TRIED"
    top = compilation.entry(lambda x: _quarter(x) + _half(x))
    assert top(8.0) == 6.0
    assert {"_half", "_quarter"}.isdisjoint(emitted)
    with pytest.raises(ValueError, match="below zero"):
        top(-8.0)


def test_kernels_run_alone_and_under_other_compiled_functions(emitted: list[str]) -> None:
    assert (_half(8.0), _quarter(8.0)) == (4.0, 2.0)
    assert {"_half", "_quarter"} <= set(emitted)
    assert numba.njit(lambda x: _quarter(x))(8.0) == 2.0
    assert compilation.entry(lambda x: _quarter(x) + _half(x))(8) == 6.0
    with pytest.raises(ValueError, match="below zero"):
        _quarter(-1.0)


RECORDS = """
import math, sys
import numpy as np
from npusim.compilation import entry, kernel

@kernel
def _wanted(record):
    angle = record.wanted
    COSINES
    return 10.0 * record.wanted + 0.0 * angle

@entry
def wanted(records):
    return _wanted(records[0])

for fields in sys.argv[1:]:
    records = np.zeros(1, [(name, np.float64) for name in fields.split(",")])
    records["wanted"] = 1.0
    assert wanted(records) == 10.0, fields
""".replace("COSINES", "; ".join(["angle = math.cos(angle)"] * 99))
"""A kernel so long that it stays a function of its own in what is kept."""


def test_kernels_that_two_processes_compiled_for_records_of_their_own_meet_in_a_third(tmp_path: Path) -> None:
    script = tmp_path / "records.py"
    script.write_text(RECORDS, encoding="utf-8")
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    for words in (["wanted"], ["other,wanted"], ["wanted", "other,wanted"]):
        subprocess.run([sys.executable, str(script), *words], check=True, env=environment)
