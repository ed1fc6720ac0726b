"""Keys and signatures: Ed25519 (RFC 8032) of the head of a sealed chain."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from npusim.errors import UserError
from npusim.inputs import read_bytes
from npusim.lab.evidence.chain import SEAL, SIGNATURE, canonical, head_of, read_chain, spelled
from npusim.publish import publish_file

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

FORMAT = "npusim signature 1"
_SIGNED = "npusim evidence 1, head of a sealed chain: {head}"
_PRIVATE_MODE, _PUBLIC_MODE = 0o600, 0o644
"""Who may read a key file: its owner, and anyone."""
_MOST_BYTES = 2**16
"""Size in bytes of a key file or a signature."""


def new_key(private: Path) -> Path:
    """A new key pair: the private key at `private`, for its owner's eyes, the public one beside it as NAME.pub.

    Neither may be there yet. Raises UserError.
    """
    made = _library()
    public = private.with_name(f"{private.name}.pub")
    for path in (private, public):
        if os.path.lexists(path):
            raise UserError(str(path), "", "is there already, and a key is never overwritten; give another name")
    key = made.Ed25519PrivateKey.generate()
    serial = made.serialization
    secret = key.private_bytes(serial.Encoding.PEM, serial.PrivateFormat.PKCS8, serial.NoEncryption())
    shown = key.public_key().public_bytes(serial.Encoding.PEM, serial.PublicFormat.SubjectPublicKeyInfo)
    _write_new(private, secret, _PRIVATE_MODE)
    _write_new(public, shown, _PUBLIC_MODE)
    return public


def _write_new(path: Path, content: bytes, mode: int) -> None:
    """A file that was not there, of that mode from its first byte on."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    except OSError as error:
        raise UserError(str(path), "", f"cannot be written ({error.strerror}); give another name") from error
    with os.fdopen(handle, "wb") as file:
        file.write(content)


def sign_folder(folder: Path, private: Path) -> dict[str, Any]:
    """Sign the head of a sealed chain; the signature lies beside it. Raises UserError."""
    entries = read_chain(folder)
    if entries[-1].kind != SEAL:
        raise UserError(str(folder), "", "is not sealed, so entries could follow; seal it first: npusim evidence seal")
    if os.path.lexists(folder / SIGNATURE):
        raise UserError(str(folder / SIGNATURE), "", "is there already, and a signature is never replaced")
    key = _private(private)
    head = head_of(entries)
    told = {
        "format": FORMAT,
        "algorithm": "Ed25519",
        "head": head,
        "public_key": _text(_raw(key.public_key())),
        "signature": _text(key.sign(_SIGNED.format(head=head).encode())),
    }
    publish_file(folder / SIGNATURE, canonical(told) + b"\n", "FOLDER")
    return told


def wrong_signature(folder: Path, head: str, public: Path | None) -> str:
    """What is wrong with the signature of a chain of that head, "" where it holds. public: the key that it must be of;
    None: that which it names, so that it says nothing of who signed. Raises UserError for a key that is none."""
    try:
        content = read_bytes(folder / SIGNATURE, _MOST_BYTES)
    except UserError as error:
        return error.message
    told = _read(content)
    if told is None:
        return f"is no '{FORMAT}' as it was written"
    if told["head"] != head:
        return "is of another chain: entries were changed, added or cut off"
    key = _public_of(told["public_key"])
    if public is not None:
        asked = _public(public)
        if key is None or _raw(asked) != _raw(key):
            return f"is of another key than {public.name}"
        key = asked
    if key is None:
        return "names no public key"
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(base64.b64decode(told["signature"]), _SIGNED.format(head=head).encode())
    except (InvalidSignature, ValueError):
        return "does not hold: it, or the key that it names, was changed"
    return ""


def signer(folder: Path) -> str:
    """The public key that a signature names, in base64. Raises UserError where it is no signature."""
    told = _read(read_bytes(folder / SIGNATURE, _MOST_BYTES))
    if told is None:
        raise UserError(str(folder / SIGNATURE), "", f"is no '{FORMAT}' as it was written")
    return told["public_key"]


def _read(content: bytes) -> dict[str, str] | None:
    """The parts of a signature in its one spelling; None for anything else."""
    told = spelled(content.removesuffix(b"\n"))
    keys = ("algorithm", "format", "head", "public_key", "signature")
    if told is None or tuple(sorted(told)) != keys or not all(isinstance(told[key], str) for key in keys):
        return None
    known = content.endswith(b"\n") and told["format"] == FORMAT and told["algorithm"] == "Ed25519"
    return told if known and all(_is_base64(told[key]) for key in ("public_key", "signature")) else None


def _is_base64(text: str) -> bool:
    """Whether it is base64 in its one spelling."""
    try:
        return base64.b64encode(base64.b64decode(text, validate=True)).decode() == text
    except ValueError:
        return False


def fingerprint(public_key: str) -> str:
    """The SHA-256 of a public key as a signature names it, in short."""
    import hashlib

    return hashlib.sha256(base64.b64decode(public_key)).hexdigest()


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _raw(key: Ed25519PublicKey) -> bytes:
    made = _library().serialization
    return key.public_bytes(made.Encoding.Raw, made.PublicFormat.Raw)


def _private(path: Path) -> Ed25519PrivateKey:
    made = _library()
    content = read_bytes(path, _MOST_BYTES)
    try:
        key = made.serialization.load_pem_private_key(content, password=None)
    except (ValueError, TypeError) as error:
        raise UserError(str(path), "", "is no private key without a password; npusim evidence key makes one") from error
    if not isinstance(key, made.Ed25519PrivateKey):
        raise UserError(str(path), "", "is no Ed25519 key; npusim evidence key makes one")
    return key


def _public(path: Path) -> Ed25519PublicKey:
    made = _library()
    content = read_bytes(path, _MOST_BYTES)
    try:
        key = made.serialization.load_pem_public_key(content)
    except ValueError as error:
        raise UserError(str(path), "", "is no public key in PEM; give the .pub file of the key") from error
    if not isinstance(key, made.Ed25519PublicKey):
        raise UserError(str(path), "", "is no Ed25519 key; give the .pub file of the key")
    return key


def _public_of(text: str) -> Ed25519PublicKey | None:
    made = _library()
    try:
        return made.Ed25519PublicKey.from_public_bytes(base64.b64decode(text))
    except ValueError:
        return None


class _Library:
    """What is used of `cryptography`."""

    def __init__(self) -> None:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519

        self.serialization = serialization
        self.Ed25519PrivateKey = ed25519.Ed25519PrivateKey
        self.Ed25519PublicKey = ed25519.Ed25519PublicKey


def _library() -> _Library:
    """Raises UserError where it is not installed."""
    try:
        return _Library()
    except ImportError as error:
        raise UserError("cryptography", "", "is not installed; pip install 'npusim[sign]'") from error
