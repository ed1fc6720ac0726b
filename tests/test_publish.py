"""Files and folders are whole or as they were, never written through a link, and never over what is not npusim's."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

import pytest

from npusim.errors import UserError
from npusim.publish import DRAFT, MANIFEST, drafted, publish_file, publish_folder, require_file, require_folder

OWN = json.dumps({"npusim": "0.1.0", "argv": []})


def _set(content: str, names: tuple[str, ...] = ("a.csv", "sub/b.png", MANIFEST)):  # type: ignore[no-untyped-def]
    def write(draft: Path) -> list[str]:
        for name in names:
            (draft / name).parent.mkdir(exist_ok=True)
            (draft / name).write_text(OWN if name == MANIFEST else content)
        return list(names)

    return write


def _content(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("deep", ["out", "new/deep/out"])
def test_a_set_is_published_whole_and_replaced_whole(tmp_path: Path, deep: str) -> None:
    out = tmp_path / deep
    for content in ("first", "second"):
        assert publish_folder(_set(content), out) == ["a.csv", "sub/b.png", MANIFEST]
        assert _content(out) == {"a.csv": content, "sub/b.png": content, MANIFEST: OWN}
    assert not list(tmp_path.rglob(f"{DRAFT}*"))


@pytest.mark.parametrize("fails", ["first write", "second move"])
def test_a_failure_leaves_the_set_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    out = tmp_path / "out"
    publish_folder(_set("old", ("a.csv", MANIFEST)), out)
    before = _content(out)

    def full(draft: Path) -> list[str]:
        raise OSError(28, "No space left on device")

    if fails == "first write":
        with pytest.raises(UserError, match=r"^--out: .* cannot be written \(No space left on device\); free some"):
            publish_folder(full, out)
    else:
        move, moved = os.replace, []

        def replace(source: Path, target: Path) -> None:
            if target == out / "sub/b.png" and not moved:
                moved.append(target)
                raise PermissionError(13, "Permission denied")
            move(source, target)

        monkeypatch.setattr(os, "replace", replace)
        with pytest.raises(UserError, match=r"sub/b\.png: cannot be replaced"):
            publish_folder(_set("new"), out)
    assert _content(out) == before
    assert not list(tmp_path.rglob(f"{DRAFT}*"))


def test_a_file_is_whole_or_as_it_was_and_a_link_is_replaced_not_followed(tmp_path: Path) -> None:
    victim, link = tmp_path / "victim.txt", tmp_path / "answer.json"
    victim.write_text("precious")
    link.symlink_to(victim)
    publish_file(link, "new")
    assert victim.read_text() == "precious" and link.read_text() == "new" and not link.is_symlink()
    with pytest.raises(KeyboardInterrupt), drafted(link) as draft:
        draft.write_text("half")
        assert draft.stat().st_mode & 0o777 == 0o666 & ~_umask()
        raise KeyboardInterrupt
    assert link.read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answer.json", "victim.txt"]


def test_drafts_have_names_that_nobody_guesses(tmp_path: Path) -> None:
    names = set()
    for _ in range(50):
        with drafted(tmp_path / "f") as draft:
            names.add(draft.name)
    assert len(names) == 50 and all(len(name) >= len(DRAFT) + 16 for name in names)


def test_what_a_killed_writer_left_is_removed_and_what_another_writes_is_not(tmp_path: Path) -> None:
    left, locked, file = (tmp_path / f"{DRAFT}{name}" for name in ("left", "locked", "file"))
    for folder in (left, locked):
        (folder / "sub").mkdir(parents=True)
    file.write_text("half")
    (tmp_path / f"{DRAFT}link").symlink_to(tmp_path)
    handle = os.open(locked, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    require_folder(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{DRAFT}link", f"{DRAFT}locked"]
    os.close(handle)
    require_folder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"{DRAFT}link"]


def test_folders_that_cannot_be_written_are_found_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "loose").symlink_to(tmp_path / "nothing")
    (tmp_path / "blocked" / "a.csv").mkdir(parents=True)
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "a.csv").write_text("mine")
    (tmp_path / "foreign" / MANIFEST).write_text('{"name": "a web page"}')
    for name, reason in {
        "file": "is a file; give a folder",
        "file/in/it": "is a file; give a folder",
        "loose": "is a link to nothing",
        "blocked": "a.csv is a folder",
        "foreign": "was not written by npusim",
        "x" * 300: "File name too long",
        "a\0b": "null",
    }.items():
        with pytest.raises(UserError, match=f"^--out.*{reason}"):
            require_folder(tmp_path / name, ["a.csv"])
    publish_folder(_set("old", ("a.csv", MANIFEST)), tmp_path / "ours")
    for fine in ("ours", "new/deep"):
        assert require_folder(tmp_path / fine, ["a.csv"]) == tmp_path / fine
    assert not (tmp_path / "new").exists()


def test_files_that_cannot_be_written_are_found_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "mine.html").write_text("my own page")
    (tmp_path / "ours.html").write_text("<html> written by npusim")
    (tmp_path / "folder.html").mkdir()
    for name, reason in {
        "mine.html": "was not written by npusim",
        "folder.html": "is a folder",
        "page.txt": "another ending than .html",
        "none/page.html": "there is no folder",
        "mine.html/page.html": "there is no folder",
    }.items():
        with pytest.raises(UserError, match=f"^--out.*{reason}"):
            require_file(tmp_path / name, {".html": b"npusim"})
    for fine in ("ours.html", "new.html"):
        require_file(tmp_path / fine, {".html": b"npusim"})
    with pytest.raises(UserError, match="is there already"):
        require_file(tmp_path / "ours.html", {"": None})
    assert not (tmp_path / "new.html").exists()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
