"""The built wheel, installed with its dependencies into an empty environment, does the main job from any folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from npusim.kperf import energy_chart, shares_chart
from npusim.kperf.charts import CHARTS

ROOT = Path(__file__).resolve().parents[1]
COMMAND = ("kperf", "rngd", "--grid", "quick", "--models", "llama-3.1-8b", "--out", "out", "--json")
LEADING_BACK = ("NUMBA_CACHE_DIR", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")


def _environment() -> dict[str, str]:
    """This process's environment without what would lead back to this checkout or its caches."""
    return {name: value for name, value in os.environ.items() if name not in LEADING_BACK}


def _run(words: list[str | Path], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in words], cwd=folder, env=_environment(), capture_output=True, text=True, check=False
    )


def _succeed(words: list[str | Path], folder: Path) -> None:
    done = _run(words, folder)
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the commands of a fresh environment that holds the built wheel and its dependencies."""
    folder = tmp_path_factory.mktemp("wheel")
    _succeed([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], ROOT)
    (wheel,) = folder.glob("npusim-*.whl")
    installer = shutil.which("uv")
    home = folder / "environment"
    venv.create(home, with_pip=installer is None)
    scripts = home / ("Scripts" if os.name == "nt" else "bin")
    if installer:
        _succeed([installer, "pip", "install", "--python", scripts / "python", wheel], folder)
    else:
        _succeed([scripts / "python", "-m", "pip", "install", "--quiet", wheel], folder)
    return scripts


def test_the_installed_command_predicts_the_quick_grid(scripts: Path, tmp_path: Path) -> None:
    done = _run([scripts / "npusim", *COMMAND], tmp_path)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert len(answer["cells"]) == 6
    assert {cell["status"] for cell in answer["cells"]} == {"predicted"}
    assert answer["sim_seconds"] > 0.0
    assert {"kperf.xlsx", "kperf.csv", "manifest.json"} <= {path.name for path in (tmp_path / "out").iterdir()}
    slugs = [*(chart.slug for chart in CHARTS), energy_chart.SLUG, shares_chart.SLUG]
    drawn = {path.name for path in (tmp_path / "out" / "charts").iterdir()}
    assert drawn == {f"llama-3.1-8b-{slug}.png" for slug in slugs}
    assert all((tmp_path / name).stat().st_size > 0 for name in answer["files"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest == answer["manifest"]
    assert str(ROOT) not in json.dumps(manifest)


def test_the_installed_command_tells_a_mistake_in_one_line(scripts: Path, tmp_path: Path) -> None:
    done = _run([scripts / "npusim", "kperf", "rngd9", "--out", "out"], tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert "rngd9" in done.stderr
    assert not list(tmp_path.iterdir())
