"""What lies around the code: licence, version, extras, hooks, and what stays out of the repository."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import npusim
from npusim import __version__
from npusim.hardware.description import read_yaml

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
APACHE_2 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
"""SHA-256 of https://www.apache.org/licenses/LICENSE-2.0.txt."""


def test_the_licence_is_the_one_that_the_project_names() -> None:
    assert PROJECT["project"]["license"] == "Apache-2.0"
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE_2
    assert read_yaml(ROOT / "CITATION.cff")["license"] == "Apache-2.0"


def test_one_version_stands_everywhere() -> None:
    heading = re.search(r"^## \[(.+?)\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert heading is not None
    cited = read_yaml(ROOT / "CITATION.cff")
    assert heading.groups() == (__version__, str(cited["date-released"]))
    assert cited["version"] == __version__
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "npusim/__init__.py"
    assert "version" not in PROJECT["project"]


def _names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=]", each)[0] for each in requirements}


def test_the_test_extra_holds_no_linter_and_no_cluster() -> None:
    kept_out = {"dask", "ray", "optuna", "mkdocs", "npusim"} | _names(EXTRAS["dev"])
    assert not _names(EXTRAS["test"]) & kept_out
    assert _names(EXTRAS["dev"]) >= {"ruff", "mypy", "pandas-stubs", "pre-commit"}


def test_ci_installs_every_extra_and_skips_nothing() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    (asked,) = re.findall(r"pip install --quiet \"\.\[(.+)\]\"", script)
    assert set(asked.split(",")) == set(EXTRAS)
    assert "export NPUSIM_NO_SKIPS=1" in script


@pytest.mark.parametrize(("no_skips", "code"), [("", 0), ("1", 1)])
def test_a_skipped_test_fails_where_nothing_may_be_skipped(
    no_skips: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "test_extra.py").write_text(
        "import pytest\n\ndef test_it():\n    pytest.importorskip('no_such_module', reason='no such extra')\n"
    )
    monkeypatch.setenv("NPUSIM_NO_SKIPS", no_skips)
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    words = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "-p", "no_skips", str(tmp_path)]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout
    assert "no such extra" in done.stdout


def test_the_hooks_are_the_linters_of_ci() -> None:
    hooks = [hook for repo in read_yaml(ROOT / ".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert hooks
    for hook in hooks:
        assert hook["entry"] in script
        assert hook["language"] == "system"


def _maker(name: str) -> Any:
    """The script in docs/ that makes a picture, as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_of_the_house_is_that_of_the_code() -> None:
    maker = _maker("make_architecture")
    assert maker.PICTURE.read_text(encoding="utf-8") == maker.picture(), "run python docs/make_architecture.py"
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert "](images/architecture.svg)" in page
    assert len(page.splitlines()) <= 80
    floors = maker.floors()
    for room, floor, says, known in maker.rooms():
        assert says and all(name == maker.GROUND or floors[name] < floor for name in known), room


def test_the_picture_of_the_readme_shows_what_is_predicted(tmp_path: Path) -> None:
    """Two of its points, predicted anew; each point has its figures in its title."""
    module = _maker("make_throughput")
    assert "](docs/images/throughput.svg)" in (ROOT / "README.md").read_text(encoding="utf-8")
    picture = (ROOT / "docs" / "images" / "throughput.svg").read_text(encoding="utf-8")
    whole = read_yaml(ROOT / "workloads" / "grids" / "furiosa-perf-32k.yaml")
    grid = tmp_path / "grid.yaml"
    grid.write_text(json.dumps(whole | {"name": "part", "points": [{"isl": 512, "osl": 512, "users": [1, 64]}]}))
    (result,) = npusim.kperf(module.ARCH, [module.MODEL], str(grid))
    rows = list(result.cells.itertuples())
    assert len(rows) == 2
    for row in rows:
        assert f"<title>{module.told(row)}</title>" in picture


def test_the_table_of_coverage_is_that_of_the_calibrations() -> None:
    maker = _maker("make_coverage")
    assert maker.PAGE.read_text(encoding="utf-8") == maker.page(), "run python docs/make_coverage.py"


def test_the_picture_of_contention_is_what_is_simulated() -> None:
    """Weights that wait for units in memory, and messages, on the first chip of two."""
    maker = _maker("make_contention")
    assert "](images/contention.svg)" in (ROOT / "docs" / "timeline.md").read_text(encoding="utf-8")
    drawn = maker.picture()
    assert maker.PICTURE.read_text(encoding="utf-8") == drawn, "run python docs/make_contention.py"
    for told in ("lost to a shared PIM banks", "all_reduce: message", "attention: compute"):
        assert told in drawn


def test_no_generated_picture_is_kept() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("no git checkout here")
    assert [name for name in listed.stdout.splitlines() if name.endswith((".png", ".pdf", ".jpg"))] == []
    assert "uv.lock" not in listed.stdout
