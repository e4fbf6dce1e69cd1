"""Ed25519 keys: the private one that signs tokens, the public ones that services hold."""

import hashlib
import os
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


def key_id(key: Ed25519PublicKey) -> str:
    """The name of a key in a token's header: the start of the SHA-256 of its raw bytes."""
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:16]


def generate(private_file: Path, auth_dir: Path) -> Ed25519PrivateKey:
    """Makes a key pair: the private part at `private_file` (mode 0600), the public one in `auth_dir`."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    private_file.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(private_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
    publish(key.public_key(), auth_dir)
    return key


def publish(key: Ed25519PublicKey, auth_dir: Path) -> Path:
    """Writes a public key where services look for it."""
    auth_dir.mkdir(parents=True, exist_ok=True)
    path = auth_dir / f"{key_id(key)}.pem"
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    fresh = path.with_suffix(".new")
    fresh.write_bytes(pem)
    fresh.rename(path)
    return path


def load_private(path: Path) -> Ed25519PrivateKey:
    """Reads a private key. Raises ValueError when it is not an Ed25519 one."""
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"{path} is not an Ed25519 private key")  # noqa: TRY004 - it is the file's content that is wrong
    return key


def load_public(path: Path) -> Ed25519PublicKey:
    """Reads a public key. Raises ValueError when it is not an Ed25519 one."""
    key = serialization.load_pem_public_key(path.read_bytes())
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError(f"{path} is not an Ed25519 public key")  # noqa: TRY004 - it is the file's content that is wrong
    return key
