"""The keys of a party: hybrid signatures (Ed25519 and ML-DSA-65), hybrid sealing (ML-KEM-768 and X25519), and a vault."""

from __future__ import annotations

import base64
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, hpke
from cryptography.hazmat.primitives.asymmetric import ed25519, mldsa, mlkem, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tombolo.storage.errors import CodedError

_VERSION = b"\x01"
_ED_PUBLIC, _ED_SIGNATURE = 32, 64
_KEM_PUBLIC = 1184
_SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


class BadKeyMaterial(CodedError):
    code = "TMB-KEY-001"
    cause = "A key or key file cannot be used."
    remedy = "Use the file that `tombolo keys new` wrote, complete, unchanged, and with mode 0600 (chmod 600)."


class SignatureRefused(CodedError):
    code = "TMB-KEY-002"
    cause = "A signature is not valid for the pinned key of its signer."
    remedy = "Ask the signer for its key and compare it with the pinned key. Do not use the document until both are the same."


class SealRefused(CodedError):
    code = "TMB-KEY-003"
    cause = "Sealed bytes cannot be opened: they are sealed to another key, or were changed."
    remedy = "Check that this party uses its own keys; ask the sender of an artifact. Leave the bytes in place for the audit."


def encode_key(raw: bytes) -> str:
    """Key bytes as text for YAML and JSON (URL-safe base64, no padding)."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decode_key(text: str) -> bytes:
    """Inverse of :func:`encode_key`; raises :class:`BadKeyMaterial`."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise BadKeyMaterial("The text is not base64.") from None


def _versioned(raw: bytes, length: int) -> bytes:
    if len(raw) != length + 1 or raw[:1] != _VERSION:
        raise BadKeyMaterial()
    return raw[1:]


@dataclass(frozen=True)
class VerifyKey:
    """The public half of a signing key. A signature is valid only if both of its parts are valid."""

    raw: bytes

    def __post_init__(self) -> None:
        body = _versioned(self.raw, _ED_PUBLIC + 1952)
        try:
            ed25519.Ed25519PublicKey.from_public_bytes(body[:_ED_PUBLIC])
            mldsa.MLDSA65PublicKey.from_public_bytes(body[_ED_PUBLIC:])
        except ValueError:
            raise BadKeyMaterial() from None

    def verify(self, signature: bytes, domain: str, data: bytes) -> None:
        """Raise :class:`SignatureRefused` unless ``signature`` is valid for ``data`` in ``domain`` under both algorithms."""
        signed = _domain(domain, data)
        if signature[:1] != _VERSION:
            raise SignatureRefused("The signature has an unknown version.")
        body = _versioned(self.raw, _ED_PUBLIC + 1952)
        try:
            ed = ed25519.Ed25519PublicKey.from_public_bytes(body[:_ED_PUBLIC])
            ed.verify(signature[1 : 1 + _ED_SIGNATURE], signed)
            mldsa.MLDSA65PublicKey.from_public_bytes(body[_ED_PUBLIC:]).verify(signature[1 + _ED_SIGNATURE :], signed)
        except (InvalidSignature, ValueError):
            raise SignatureRefused() from None


@dataclass(frozen=True, repr=False)
class SigningKey:
    """Private signing key: two 32-byte seeds (Ed25519, ML-DSA-65)."""

    raw: bytes

    @classmethod
    def new(cls) -> SigningKey:
        """Make a new random key, for Ed25519 and ML-DSA-65."""
        return cls(_VERSION + secrets.token_bytes(64))

    def _parts(self) -> tuple[ed25519.Ed25519PrivateKey, mldsa.MLDSA65PrivateKey]:
        body = _versioned(self.raw, 64)
        return ed25519.Ed25519PrivateKey.from_private_bytes(body[:32]), mldsa.MLDSA65PrivateKey.from_seed_bytes(body[32:])

    def sign(self, domain: str, data: bytes) -> bytes:
        """Sign ``data``. The signature is valid only in this ``domain``, so it cannot be used for another purpose."""
        signed = _domain(domain, data)
        ed, ml = self._parts()
        return _VERSION + ed.sign(signed) + ml.sign(signed)

    def public(self) -> VerifyKey:
        """The public half, which verifies."""
        ed, ml = self._parts()
        return VerifyKey(_VERSION + ed.public_key().public_bytes_raw() + ml.public_key().public_bytes_raw())


@dataclass(frozen=True)
class SealKey:
    """Public sealing key of a recipient (HPKE, MLKEM768-X25519)."""

    raw: bytes

    def __post_init__(self) -> None:
        self._key()

    def _key(self) -> hpke.MLKEM768X25519PublicKey:
        body = _versioned(self.raw, _KEM_PUBLIC + 32)
        try:
            return hpke.MLKEM768X25519PublicKey(
                mlkem.MLKEM768PublicKey.from_public_bytes(body[:_KEM_PUBLIC]),
                x25519.X25519PublicKey.from_public_bytes(body[_KEM_PUBLIC:]),
            )
        except ValueError:
            raise BadKeyMaterial() from None

    def seal(self, plaintext: bytes | memoryview, info: bytes) -> bytes:
        """Seal: only the owner of the key can open it, with the same ``info``."""
        return _SUITE.encrypt(plaintext, self._key(), info)


@dataclass(frozen=True, repr=False)
class UnsealKey:
    """Private sealing key: ML-KEM seed (64 bytes) and X25519 scalar (32 bytes)."""

    raw: bytes

    @classmethod
    def new(cls) -> UnsealKey:
        """Make a new random key."""
        return cls(_VERSION + secrets.token_bytes(96))

    def _key(self) -> hpke.MLKEM768X25519PrivateKey:
        body = _versioned(self.raw, 96)
        return hpke.MLKEM768X25519PrivateKey(
            mlkem.MLKEM768PrivateKey.from_seed_bytes(body[:64]), x25519.X25519PrivateKey.from_private_bytes(body[64:])
        )

    def public(self) -> SealKey:
        """The public half, with which other parties seal."""
        body = _versioned(self.raw, 96)
        kem = mlkem.MLKEM768PrivateKey.from_seed_bytes(body[:64]).public_key().public_bytes_raw()
        dh = x25519.X25519PrivateKey.from_private_bytes(body[64:]).public_key().public_bytes_raw()
        return SealKey(_VERSION + kem + dh)

    def open(self, sealed: bytes, info: bytes) -> bytes:
        """Open bytes that were sealed to this key. Raises :class:`SealRefused`."""
        try:
            return _SUITE.decrypt(sealed, self._key(), info)
        except (InvalidTag, ValueError):
            raise SealRefused() from None


@dataclass(frozen=True, repr=False)
class Vault:
    """A party's own secret (32 bytes). It seals the objects of the private area, and other secrets are derived from it."""

    raw: bytes

    @classmethod
    def new(cls) -> Vault:
        """Make a new random vault key."""
        return cls(_VERSION + secrets.token_bytes(32))

    def derive(self, purpose: str, length: int = 32) -> bytes:
        """Derive a secret for one purpose (HKDF-SHA256)."""
        kdf = HKDF(algorithm=hashes.SHA256(), length=length, salt=None, info=b"tombolo vault\0" + purpose.encode())
        return kdf.derive(_versioned(self.raw, 32))

    def seal(self, plaintext: bytes, context: str) -> bytes:
        """Seal with AES-256-GCM, with a separate key for every object. ``context`` is the object's key in the store."""
        salt = os.urandom(32)
        key = HKDF(algorithm=hashes.SHA256(), length=32, salt=salt, info=b"tombolo seal").derive(self.derive("seal"))
        return _VERSION + salt + AESGCM(key).encrypt(b"\0" * 12, plaintext, context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """Inverse of :meth:`seal`; raises :class:`SealRefused`."""
        if sealed[:1] != _VERSION:
            raise SealRefused("The private object has an unknown version.")
        salt = sealed[1:33]
        key = HKDF(algorithm=hashes.SHA256(), length=32, salt=salt, info=b"tombolo seal").derive(self.derive("seal"))
        try:
            return AESGCM(key).decrypt(b"\0" * 12, sealed[33:], context.encode())
        except (InvalidTag, ValueError):
            raise SealRefused("A private object was changed, or was sealed with another vault key.") from None


@dataclass(frozen=True, repr=False)
class PartyKeys:
    """All permanent secrets of one party. They are in one file (mode 0600) or in Airflow's secrets backend."""

    party: str
    signing: SigningKey
    sealing: UnsealKey
    vault: Vault

    @classmethod
    def new(cls, party: str) -> PartyKeys:
        """Make all keys of a party."""
        return cls(party, SigningKey.new(), UnsealKey.new(), Vault.new())

    def to_json(self) -> str:
        """The text of the key file, with the private keys."""
        parts = {"signing": self.signing.raw, "sealing": self.sealing.raw, "vault": self.vault.raw}
        return json.dumps({"party": self.party, **{k: encode_key(v) for k, v in parts.items()}}, indent=2)

    @classmethod
    def from_json(cls, text: str) -> PartyKeys:
        """Read what :meth:`to_json` wrote. Raises :class:`BadKeyMaterial`, whose text repeats nothing of it."""
        try:
            document = json.loads(text)
            party, raw = document["party"], {k: decode_key(document[k]) for k in ("signing", "sealing", "vault")}
            keys = cls(party, SigningKey(raw["signing"]), UnsealKey(raw["sealing"]), Vault(raw["vault"]))
            keys.signing.public(), keys.sealing.public(), keys.vault.derive("check")
        except (ValueError, KeyError, TypeError):
            raise BadKeyMaterial("The key file is incomplete or damaged.") from None
        return keys

    def save(self, path: Path) -> None:
        """Write a new key file with mode 0600. Raises :class:`BadKeyMaterial` if the file exists."""
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise BadKeyMaterial(f"{path} exists already; key files are never overwritten. Choose another file.") from None
        with os.fdopen(descriptor, "w") as file:
            file.write(self.to_json())

    @classmethod
    def load(cls, path: Path) -> PartyKeys:
        """Read a key file. Raises :class:`BadKeyMaterial` if it is missing, or if other users can read it."""
        try:
            if path.stat().st_mode & 0o077:
                raise BadKeyMaterial(f"{path} can be read by other users; run chmod 600 on it.")
            return cls.from_json(path.read_text())
        except OSError as error:
            raise BadKeyMaterial(f"{path} cannot be read ({error.strerror}).") from None


def _domain(domain: str, data: bytes) -> bytes:
    return b"tombolo signature\0" + domain.encode() + b"\0" + data
