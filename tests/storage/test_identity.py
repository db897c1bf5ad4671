"""Keys: both halves of a signature count, sealing is bound to its context, key files stay private."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tombolo.storage.identity import (
    BadKeyMaterial,
    PartyKeys,
    SealRefused,
    SignatureRefused,
    SigningKey,
    UnsealKey,
    Vault,
    VerifyKey,
    decode_key,
    encode_key,
)

SIGNING, OTHER = SigningKey.new(), SigningKey.new()
UNSEAL = UnsealKey.new()


def test_a_signature_verifies_only_for_its_bytes_domain_and_key():
    signature = SIGNING.sign("artifact", b"data")
    SIGNING.public().verify(signature, "artifact", b"data")
    for key, domain, data in (
        (OTHER.public(), "artifact", b"data"),
        (SIGNING.public(), "manifest", b"data"),
        (SIGNING.public(), "artifact", b"dat"),
    ):
        with pytest.raises(SignatureRefused):
            key.verify(signature, domain, data)


def test_both_algorithms_must_verify():
    mine, theirs = SIGNING.sign("artifact", b"data"), OTHER.sign("artifact", b"data")
    for mixed in (mine[:65] + theirs[65:], theirs[:65] + mine[65:], mine[:65], b"\x02" + mine[1:], b""):
        with pytest.raises(SignatureRefused):
            SIGNING.public().verify(mixed, "artifact", b"data")


@given(st.binary(max_size=200), st.binary(max_size=50))
@settings(max_examples=25, deadline=None)
def test_sealing_opens_only_with_key_and_context(plain, info):
    sealed = UNSEAL.public().seal(plain, info)
    assert UNSEAL.open(sealed, info) == plain
    with pytest.raises(SealRefused):
        UNSEAL.open(sealed, info + b"x")
    with pytest.raises(SealRefused):
        UnsealKey.new().open(sealed, info)
    with pytest.raises(SealRefused):
        UNSEAL.open(sealed[:-1], info)


def test_vault_binds_the_place():
    vault = Vault.new()
    sealed = vault.seal(b"model", "private/a")
    assert vault.open(sealed, "private/a") == b"model"
    for key, context in ((vault, "private/b"), (Vault.new(), "private/a")):
        with pytest.raises(SealRefused):
            key.open(sealed, context)


def test_key_files_are_private_whole_and_never_overwritten(tmp_path):
    keys, path = PartyKeys.new("clinic"), tmp_path / "keys.json"
    keys.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert PartyKeys.load(path).signing.public() == keys.signing.public()
    with pytest.raises(BadKeyMaterial):
        keys.save(path)
    path.chmod(0o644)
    with pytest.raises(BadKeyMaterial):
        PartyKeys.load(path)
    with pytest.raises(BadKeyMaterial) as caught:
        PartyKeys.from_json(keys.to_json().replace('"signing": "', '"signing": "!'))
    assert encode_key(keys.signing.raw)[:12] not in str(caught.value)


@given(st.binary(max_size=64))
def test_key_text_round_trip(raw):
    assert decode_key(encode_key(raw)) == raw


@given(st.binary(max_size=2100))
@settings(max_examples=40)
def test_hostile_public_keys_are_refused(raw):
    with pytest.raises(BadKeyMaterial):
        VerifyKey(raw)


def test_secrets_do_not_show():
    keys = PartyKeys.new("clinic")
    for shown in (repr(keys), repr(keys.signing), repr(keys.vault), repr(keys.sealing), str(keys)):
        assert encode_key(keys.signing.raw) not in shown and keys.vault.raw.hex() not in shown and "raw=" not in shown
