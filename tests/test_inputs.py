"""Reading files: within limits, one line for what cannot be read, and a record of what was read."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from npusim.errors import UserError
from npusim.inputs import InputFile, aside, opened, read_bytes, read_text, recording, remembered


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.txt"
    path.write_bytes(b"8 GiB\n")
    os.utime(path, (1e9, 1e9))
    return path


def test_a_file_is_recorded_with_its_digest(file: Path) -> None:
    with recording() as read:
        assert read_bytes(file) == b"8 GiB\n"
        assert read_text(file) == "8 GiB\n"
    told = InputFile(file, hashlib.sha256(b"8 GiB\n").hexdigest(), 6)
    assert read.files == (told,)
    assert told in opened()


def test_a_record_ends_with_its_block_and_inner_files_count_outside(file: Path) -> None:
    with recording() as outer:
        with recording() as inner:
            read_bytes(file)
        assert inner.files == outer.files != ()
    file.write_bytes(b"9 GiB\n")
    read_bytes(file)
    assert len(outer.files) == 1


def test_an_answer_from_memory_records_its_files_again(file: Path) -> None:
    calls = []

    @remembered
    def load(path: Path) -> str:
        calls.append(path)
        return read_text(path)

    load(file)
    with recording() as read:
        load(file)
    assert calls == [file]
    assert [each.path for each in read.files] == [file]


def test_an_answer_is_kept_only_while_its_files_are_unchanged(file: Path) -> None:
    @remembered
    def load(path: Path) -> str:
        return read_text(path)

    assert load(file) == load(file) == "8 GiB\n"
    file.write_bytes(b"9 GiB\n")
    assert load(file) == "9 GiB\n"
    file.write_bytes(b"7 GiB\n")
    assert load(file) == "7 GiB\n"
    file.unlink()
    with pytest.raises(UserError, match="No such file"):
        load(file)


def test_an_answer_belongs_to_the_folder_from_which_a_file_is_named(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = remembered(lambda path: read_text(path))
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / file.name).write_text("other", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert load(Path(file.name)) == "8 GiB\n"
    monkeypatch.chdir(tmp_path / "inner")
    assert load(Path(file.name)) == "other"


def test_a_file_that_is_searched_for_a_name_is_no_input(file: Path) -> None:
    with recording() as read, aside(), recording() as inner:
        read_bytes(file)
    assert read.files == ()
    assert len(inner.files) == 1


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_text_is_read_with_and_without_a_byte_order_mark(file: Path, encoding: str) -> None:
    file.write_bytes("2 µs\n".encode(encoding))
    assert read_text(file) == "2 µs\n"


def test_what_cannot_be_read_is_one_line_with_the_name(tmp_path: Path, file: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "wide").write_bytes("a".encode("utf-16"))
    (tmp_path / "nul").write_bytes(b"a\0b")
    (tmp_path / "latin").write_bytes(b"\xe9")
    wrong = {
        tmp_path: "directory",
        tmp_path / "pipe": "no regular file",
        tmp_path / "latin": "not UTF-8",
        tmp_path / "wide": "UTF-16 text; save it as UTF-8",
        tmp_path / "nul": "NUL characters",
        tmp_path / "none": "No such file",
        tmp_path / "a\0b": "no name of a file",
        tmp_path / "\udcff\ud800": "no name of a file",
        tmp_path / ("x" * 5000): "too long",
    }
    for path, message in wrong.items():
        with pytest.raises(UserError, match=message) as mistake:
            read_text(path)
        assert len(str(mistake.value).encode("utf-8", "backslashreplace")) < 400
    with pytest.raises(UserError, match="larger than"):
        read_bytes(file, limit=5)
