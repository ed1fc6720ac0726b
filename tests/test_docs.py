"""The documentation builds, and what it tells the reader to type runs as written."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*sorted((ROOT / "docs" / "tutorials").glob("*.md")), ROOT / "docs" / "python.md"]
_BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_READ = ("examples", "validation", "tests")


def _environment() -> dict[str, str]:
    scripts = str(Path(sys.executable).parent)
    return os.environ | {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_what_a_page_says_to_type_runs(page: Path, tmp_path: Path) -> None:
    for name in _READ:
        (tmp_path / name).symlink_to(ROOT / name)
    blocks = _BLOCK.findall(page.read_text(encoding="utf-8"))
    assert blocks
    for language, text in blocks:
        words = ["bash", "-euc", text] if language == "sh" else [sys.executable, "-c", text]
        done = subprocess.run(words, cwd=tmp_path, env=_environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{text}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


def test_a_translation_types_the_same() -> None:
    """The architect's tutorial in Korean: the commands that run are those of the English one."""
    english, korean = (
        (ROOT / "docs" / page).read_text(encoding="utf-8") for page in ("tutorials/architect.md", "ko/architect.md")
    )
    blocks = _BLOCK.findall(english)
    assert len(blocks) >= 13 and _BLOCK.findall(korean) == blocks


def test_the_korean_page_of_test_labs_types_the_same() -> None:
    """Sections 1 to 5 of the test lab's tutorial: the commands that run are those of the English one."""
    english, korean = ((ROOT / "docs" / page).read_text(encoding="utf-8") for page in
                       ("tutorials/test-lab.md", "ko/test-lab.md"))  # fmt: skip
    blocks = _BLOCK.findall(english.partition("\n## 6. ")[0])
    assert len(blocks) >= 7 and _BLOCK.findall(korean) == blocks


def test_the_evaluator_s_guide_types_the_same_in_korean() -> None:
    english, korean = (
        (ROOT / "docs" / page).read_text(encoding="utf-8") for page in ("tutorials/evaluator.md", "ko/evaluator.md")
    )
    assert len(_BLOCK.findall(english)) >= 4 and _BLOCK.findall(korean) == _BLOCK.findall(english)


def test_the_site_builds(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="the extra 'docs' is not installed")
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", "site"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    built = {path.relative_to(tmp_path / "site").with_suffix("") for path in (tmp_path / "site").rglob("*.html")}
    assert {path.relative_to(tmp_path / "docs").with_suffix("") for path in (tmp_path / "docs").rglob("*.md")} <= built
