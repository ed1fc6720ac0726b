"""Evidence folders: every changed, removed or added byte is named; chains cannot be cut; keys are guarded."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from pathlib import Path

import pytest
from cli_support import tell
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from npusim.api import evidence_add, evidence_key, evidence_seal, evidence_sign, evidence_verify
from npusim.errors import UserError
from npusim.lab.evidence.chain import FILE, chain_bytes, next_entry
from npusim.lab.evidence.verify import verify_folder

pytest.importorskip("cryptography", reason="signatures need the extra 'sign'")
DAY = "2026-12-01"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A signed folder of a few small files, with its key beside it."""
    top = tmp_path_factory.mktemp("evidence")
    raw = top / "raw"
    (raw / "run1").mkdir(parents=True)
    (raw / "run1" / "result.json").write_text('{"output_throughput": 100.25}\n')
    (raw / "empty.csv").write_bytes(b"")
    (raw / "측정.csv").write_bytes(bytes(range(64)))
    (top / "env.yaml").write_text("device_serial: A1\nfirmware: unknown\npower_limit: 180 W\n")
    evidence_add(top / "folder", [raw], environment=top / "env.yaml", date=DAY)
    evidence_add(top / "folder", [top / "env.yaml"], date=DAY)
    evidence_seal(top / "folder", date=DAY)
    evidence_key(top / "key")
    evidence_key(top / "other")
    evidence_sign(top / "folder", key=top / "key")
    return top


@pytest.fixture
def copy(kept: Path, tmp_path: Path) -> Path:
    """The signed folder, to be changed."""
    return Path(shutil.copytree(kept / "folder", tmp_path / "folder"))


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def places(folder: Path, kept: Path) -> list[str]:
    return [each.place for each in verify_folder(folder, kept / "key.pub").wrong]


def test_an_untouched_folder_holds(kept: Path) -> None:
    found = evidence_verify(kept / "folder", public=kept / "key.pub").answer
    assert found["holds"] and found["sealed"] and found["signed"] and found["signer_checked"]
    assert [each["file"] for each in found["files"]] == [  # type: ignore[index, union-attr]
        "raw/empty.csv", "raw/run1/result.json", "raw/측정.csv", "env.yaml"
    ]  # fmt: skip
    told = found["environment"][0]  # type: ignore[index]
    assert told["device_serial"] == "A1" and told["firmware"] == told["ambient"] == "unknown"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=120)
@given(st.data())
def test_any_flipped_bit_is_named(kept: Path, data: st.DataObject) -> None:
    known = [path for path in files(kept / "folder") if path.stat().st_size]
    path = data.draw(st.sampled_from(known))
    content = path.read_bytes()
    place, bit = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(0, 7))
    changed = bytearray(content)
    changed[place] ^= 1 << bit
    try:
        path.write_bytes(changed)
        assert path.relative_to(kept / "folder").as_posix() in places(kept / "folder", kept)
    finally:
        path.write_bytes(content)


def test_every_byte_of_chain_and_signature_counts(kept: Path) -> None:
    """All bytes, not a sample: those of what the others hang on."""
    for name in ("chain.jsonl", "signature.json"):
        path = kept / "folder" / name
        content = path.read_bytes()
        for place in range(0, len(content), 7):
            try:
                path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
                assert places(kept / "folder", kept), (name, place)
            finally:
                path.write_bytes(content)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.data())
def test_bytes_added_or_cut_are_named(kept: Path, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(files(kept / "folder")))
    content = path.read_bytes()
    place = data.draw(st.integers(0, len(content)))
    changed = content[:place] if place < len(content) and data.draw(st.booleans()) else None
    cut = place < len(content) and data.draw(st.booleans())
    changed = content[:place] + (b"" if cut else data.draw(st.binary(min_size=1, max_size=3)) + content[place:])
    try:
        path.write_bytes(changed)
        assert path.relative_to(kept / "folder").as_posix() in places(kept / "folder", kept)
    finally:
        path.write_bytes(content)


def test_a_chain_cut_at_any_line_is_found(copy: Path, kept: Path) -> None:
    lines = (copy / "chain.jsonl").read_bytes().splitlines(keepends=True)
    for count in range(1, len(lines)):
        (copy / "chain.jsonl").write_bytes(b"".join(lines[:count]))
        assert "signature.json" in places(copy, kept)


def test_a_chain_that_was_cut_and_sealed_anew_is_found(copy: Path, kept: Path) -> None:
    """Whoever cuts entries, removes their files and seals again lacks the key."""
    lines = (copy / "chain.jsonl").read_bytes().splitlines(keepends=True)
    (copy / "chain.jsonl").write_bytes(b"".join(lines[:-2]))
    (copy / "files" / "env.yaml").unlink()
    evidence_seal(copy, date=DAY)
    assert places(copy, kept) == ["signature.json"]
    (copy / "signature.json").unlink()
    evidence_sign(copy, key=kept / "other")
    assert places(copy, kept) == ["signature.json"]
    assert evidence_verify(copy).answer["signer_checked"] is False


def test_removed_added_and_replaced_files_are_named(copy: Path, kept: Path) -> None:
    (copy / "files" / "raw" / "run1" / "result.json").unlink()
    (copy / "files" / "raw" / "extra.csv").write_text("1\n")
    (copy / "files" / "nothing").mkdir()
    content = (copy / "files" / "env.yaml").read_bytes()
    (copy / "files" / "env.yaml").unlink()
    (copy / "other").write_bytes(content)
    (copy / "files" / "env.yaml").symlink_to(copy / "other")
    assert sorted(places(copy, kept)) == [
        "files/env.yaml", "files/nothing", "files/raw/extra.csv", "files/raw/run1/result.json", "other",
    ]  # fmt: skip


def test_another_key_is_found(copy: Path, kept: Path) -> None:
    found = evidence_verify(copy, public=kept / "other.pub").answer
    assert not found["holds"] and "other.pub" in found["wrong"][0]["reason"]  # type: ignore[index, operator]


def test_a_signature_is_of_its_own_chain(copy: Path, kept: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    evidence_add(tmp_path / "second", [tmp_path / "a.txt"], date=DAY)
    evidence_seal(tmp_path / "second", date=DAY)
    shutil.copy(copy / "signature.json", tmp_path / "second" / "signature.json")
    assert places(tmp_path / "second", kept) == ["signature.json"]


def test_a_key_file_is_its_owners_and_never_overwritten(kept: Path) -> None:
    before = (kept / "key").read_bytes()
    assert stat.S_IMODE((kept / "key").stat().st_mode) == 0o600
    with pytest.raises(UserError, match="never overwritten"):
        evidence_key(kept / "key")
    assert (kept / "key").read_bytes() == before
    assert b"PRIVATE" not in (kept / "key.pub").read_bytes()


def test_the_mode_of_a_key_file_does_not_hang_on_the_mask(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        evidence_key(tmp_path / "key")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_nothing_is_added_twice_or_after_the_seal(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.txt").write_text("a")
    evidence_add(tmp_path / "new", [tmp_path / "raw"], date=DAY)
    (tmp_path / "raw" / "a.txt").write_text("b")
    with pytest.raises(UserError, match="never replaced"):
        evidence_add(tmp_path / "new", [tmp_path / "raw"], date=DAY)
    assert (tmp_path / "new" / "files" / "raw" / "a.txt").read_text() == "a"
    with pytest.raises(UserError, match="sealed"):
        evidence_add(copy, [tmp_path / "raw"], date=DAY)


def test_what_a_killed_run_left_is_taken_up_again(tmp_path: Path) -> None:
    """Files are copied before the chain tells of them: the same command goes on, another content is refused."""
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "new" / "files").mkdir(parents=True)
    (tmp_path / "new" / "chain.jsonl").write_bytes(b"")
    (tmp_path / "new" / "files" / "a.txt").write_text("a")
    evidence_add(tmp_path / "new", [tmp_path / "a.txt"], date=DAY)
    assert evidence_verify(tmp_path / "new").answer["holds"]
    (tmp_path / "new" / "files" / "b.txt").write_text("other")
    (tmp_path / "b.txt").write_text("b")
    with pytest.raises(UserError, match="no entry tells of it"):
        evidence_add(tmp_path / "new", [tmp_path / "b.txt"], date=DAY)


def test_links_and_other_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "link").symlink_to("/etc/hostname")
    with pytest.raises(UserError, match="is a link"):
        evidence_add(tmp_path / "new", [tmp_path / "raw"], date=DAY)
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(UserError, match="holds other files"):
        evidence_add(tmp_path / "raw", [tmp_path / "a.txt"], date=DAY)


def test_a_path_of_an_entry_never_leads_out(copy: Path, kept: Path) -> None:
    """A chain that holds and names a file outside the folder, with its true hash: it is not followed."""
    secret = copy.parent / "secret"
    secret.write_bytes(b"secret")
    told = {"path": "../../secret", "bytes": 6, "sha256": hashlib.sha256(b"secret").hexdigest()}
    (copy / "chain.jsonl").write_bytes(chain_bytes([next_entry([], FILE, DAY, told)]))
    assert "files/../../secret" in places(copy, kept)


def test_the_same_files_give_the_same_chain(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    for name in ("one", "two"):
        evidence_add(tmp_path / name, [tmp_path / "a.txt"], date=DAY)
    chains = {(tmp_path / name / "chain.jsonl").read_bytes() for name in ("one", "two")}
    assert len(chains) == 1


def test_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    folder = tmp_path / "kept"
    assert tell("evidence", "add", folder, tmp_path / "a.txt", "--date", DAY).code == 0
    assert tell("evidence", "sign", folder, "--key", tmp_path / "key").code == 2
    assert tell("evidence", "seal", folder, "--date", DAY).code == 0
    assert tell("evidence", "key", tmp_path / "key").code == 0
    assert tell("evidence", "sign", folder, "--key", tmp_path / "key").code == 0
    found = tell("evidence", "verify", folder, "--public", tmp_path / "key.pub", "--json")
    assert found.json["holds"] is True
    (folder / "files" / "a.txt").write_text("b")
    changed = tell("evidence", "verify", folder, "--public", tmp_path / "key.pub")
    assert changed.code == 1 and "files/a.txt: was changed" in changed.out


def test_the_private_key_is_no_part_of_any_answer(tmp_path: Path) -> None:
    out = tell("evidence", "key", tmp_path / "key", "--json").out
    secret = (tmp_path / "key").read_text().splitlines()[1]
    assert secret not in out
