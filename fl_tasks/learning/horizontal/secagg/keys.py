"""A client's keys of one sum, fresh each time: X25519 pairs for sealing shares and for masks, and the seed of its own mask."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tombolo.fl_tasks.crypto.prf import Prf
from tombolo.storage.errors import CodedError

KEY_BYTES = 32


class ForeignKey(CodedError):
    code = "TMB-SECAGG-001"
    cause = "A client's keys for a secure sum are not keys, or not signed by that client for this sum."
    remedy = "Install the same version at all parties and start a new run. If it fails again, ask the client and the aggregator."


class ForeignShare(CodedError):
    code = "TMB-SECAGG-002"
    cause = "A client's shares cannot be decrypted, or do not give the secret that they belong to."
    remedy = "The sum was not computed. Ask the named client. If none is named, a client has changed a share: ask all of them."


@dataclass(frozen=True)
class PublicKeys:
    """What a client shows of its keys: two X25519 public keys, and SHA-256 of its own mask's seed (a random 256-bit number)."""

    seal: bytes
    mask: bytes
    seed_digest: bytes

    def joined(self) -> bytes:
        """The three values one after the other, 96 bytes."""
        return self.seal + self.mask + self.seed_digest

    @classmethod
    def of(cls, joined: bytes, party: str) -> PublicKeys:
        """Inverse of :meth:`joined`. Raises :class:`ForeignKey` naming ``party`` for what cannot be two keys of a client."""
        if len(joined) != 3 * KEY_BYTES:
            raise ForeignKey(party=party)
        seal, mask, seed = (joined[start : start + KEY_BYTES] for start in range(0, 3 * KEY_BYTES, KEY_BYTES))
        if seal == mask:
            raise ForeignKey(party=party)
        for key in (seal, mask):  # a point of small order gives nobody a secret
            _agree(bytes(KEY_BYTES), key, b"", party)
        return cls(seal, mask, seed)


@dataclass(frozen=True, repr=False)
class OwnKeys:
    """The private halves, 32 bytes each."""

    seal: bytes
    mask: bytes
    seed: bytes

    @classmethod
    def draw(cls, prf: Prf) -> OwnKeys:
        """The keys of one sum from this party's own randomness: a replay draws the same."""
        return cls(prf.derive("seal"), prf.derive("mask"), prf.derive("seed"))

    def public(self) -> PublicKeys:
        """What the client shows of them."""
        return PublicKeys(_public(self.seal), _public(self.mask), seed_digest(self.seed))


def seed_digest(seed: bytes) -> bytes:
    """A hash that commits a client to the seed of its own mask."""
    return hashlib.sha256(b"tombolo secagg seed/1" + seed).digest()


def fits(mask: bytes, public: PublicKeys) -> bool:
    """Whether a private key belongs to the public mask key."""
    return _public(mask) == public.mask


def mask_seed(private: bytes, public: bytes, context: bytes, party: str) -> bytes:
    """s_uv: the seed of the mask that two clients share, the same at both. Raises :class:`ForeignKey` naming ``party``."""
    return _agree(private, public, b"tombolo secagg mask/1\0" + context, party)


def seal_shares(private: bytes, public: bytes, shares: bytes, context: bytes, party: str) -> bytes:
    """Shares sealed to ``party``. ``context`` names the sum, its roster, sender and recipient, so a key and nonce are used once."""
    key = _agree(private, public, b"tombolo secagg seal/1\0" + context, party)
    return AESGCM(key).encrypt(bytes(12), shares, context)


def open_shares(private: bytes, public: bytes, box: bytes, context: bytes, party: str) -> bytes:
    """Inverse of :func:`seal_shares` at the recipient. Raises :class:`ForeignShare` naming ``party``."""
    key = _agree(private, public, b"tombolo secagg seal/1\0" + context, party)
    try:
        return AESGCM(key).decrypt(bytes(12), box, context)
    except (InvalidTag, ValueError):
        raise ForeignShare(party=party) from None


def _agree(private: bytes, public: bytes, info: bytes, party: str) -> bytes:
    try:
        shared = X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:  # a wrong length, or a point of small order
        raise ForeignKey(party=party) from None
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(shared)


def _public(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
