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
    remedy = "Do not use this key. Ask its holder to generate and publish a new one."


class InvalidCiphertext(CodedError):
    code = "TMB-CRYPTO-003"
    cause = "A column contains a value that is not a Paillier ciphertext under the expected key."
    remedy = "Ask the sender to use the key that is published for the run. The artifact is kept for the audit."


class InvalidResidue(CodedError):
    code = "TMB-CRYPTO-004"
    cause = "A column contains a value that is not a residue modulo n of the expected key."
    remedy = "Ask the sender to use the key that is published for the run. The artifact is kept for the audit."


class OutOfRange(CodedError):
    code = "TMB-CRYPTO-005"
    cause = "A value is not finite, or it is outside the range of its fixed-point encoding."
    remedy = "Standardise the column, or agree on a `clip` for it. If you compare with a pooled model, clip the column there too."


class NoHeadroom(CodedError):
    code = "TMB-CRYPTO-006"
    cause = "The result could be too large for a plaintext and wrap around."
    remedy = "Use fewer fractional bits, smaller bounds, fewer rows, or a larger key."


class InvalidPoint(CodedError):
    code = "TMB-CRYPTO-007"
    cause = "A column contains a value that is not a valid ristretto255 point, or that is the identity."
    remedy = "Ask the sender to run the same version of Tombolo. The artifact is kept for the audit."


class WrongShape(CodedError):
    code = "TMB-CRYPTO-008"
    cause = "The vectors of an operation do not have matching lengths or shapes."
    remedy = "Check that all parties use the same rows and the same key."


class WrongKey(CodedError):
    code = "TMB-CRYPTO-009"
    cause = "A ciphertext was used with a key that is not its own."
    remedy = "Check which party's key encrypts this message."


class MalformedPacking(CodedError):
    code = "TMB-CRYPTO-010"
    cause = "A packed plaintext does not fit its declared slots."
    remedy = "Check that both sides use the same slot width and number of slots, and that each sum fits its slot."


class WorkersLost(CodedError):
    code = "TMB-CRYPTO-011"
    transient = True
    cause = "The worker processes, or the cluster, for ciphertext work cannot be reached or have died."
    remedy = "Check that they run and have enough memory (`executor` and `workers` in the party settings). The task is tried again."


class WrongResult(CodedError):
    code = "TMB-CRYPTO-012"
    cause = "A worker returned a result that its task cannot have."
    remedy = "Install the same version of Tombolo on all workers of the cluster. Check that nobody else uses the cluster."
