"""Coded errors of the cryptographic kernels."""

from __future__ import annotations

from tombolo.storage.errors import CodedError


class WeakKey(CodedError):
    code = "TMB-CRYPTO-001"
    cause = "A Paillier key is outside the accepted sizes."
    remedy = "Use a key of 2048 to 4096 bits."


class MalformedKey(CodedError):
    code = "TMB-CRYPTO-002"
    cause = "A Paillier key is not well formed."
    remedy = "Ask its holder to generate and publish a new key; do not use this one."


class InvalidCiphertext(CodedError):
    code = "TMB-CRYPTO-003"
    cause = "A column holds something that is not a Paillier ciphertext under the expected key."
    remedy = "The sender must use the run's published key; the artifact is left in place for audit."


class InvalidResidue(CodedError):
    code = "TMB-CRYPTO-004"
    cause = "A column holds something that is not a residue modulo the expected key's n."
    remedy = "The sender must use the run's published key; the artifact is left in place for audit."


class OutOfRange(CodedError):
    code = "TMB-CRYPTO-005"
    cause = "A value is not finite or exceeds the range of its fixed-point encoding."
    remedy = "Standardise the column, or agree on clipping it; the centralised baseline must then be clipped too."


class NoHeadroom(CodedError):
    code = "TMB-CRYPTO-006"
    cause = "The result could exceed the plaintext space and wrap around."
    remedy = "Use fewer fractional bits, smaller bounds, fewer rows, or a larger key."


class InvalidPoint(CodedError):
    code = "TMB-CRYPTO-007"
    cause = "A column holds something that is not a valid, non-identity ristretto255 point."
    remedy = "The sender must run the same protocol version; the artifact is left in place for audit."


class WrongShape(CodedError):
    code = "TMB-CRYPTO-008"
    cause = "Vectors of an operation do not fit together."
    remedy = "Check that all parties use the same rows and the same key."


class WrongKey(CodedError):
    code = "TMB-CRYPTO-009"
    cause = "A ciphertext was combined with, or given to, a different key than its own."
    remedy = "Check which party's key this message is under."


class MalformedPacking(CodedError):
    code = "TMB-CRYPTO-010"
    cause = "A packed plaintext does not decompose into its declared slots."
    remedy = "Check slot width and count on both sides, and that sums stay within the slots' bound."


class WorkersLost(CodedError):
    code = "TMB-CRYPTO-011"
    transient = True
    cause = "The processes, or the cluster, that ciphertext work was given to cannot be reached or have died."
    remedy = "See that they run and have memory enough (executor and workers in the party settings); the task is tried again."


class WrongResult(CodedError):
    code = "TMB-CRYPTO-012"
    cause = "A worker gave back something else than the bytes that its task makes."
    remedy = "Install the same version of Tombolo on all workers of the cluster, and see that it is nobody else's."
