"""The verifier's Ed25519 agrees with the test vectors of RFC 8032, section 7.1, and with OpenSSL."""

import os

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from clients.verify_statement import L, is_signed

# Public key, message, signature: https://www.rfc-editor.org/rfc/rfc8032#section-7.1
VECTORS = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
        "387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
        "4a7c15e9716ed28dc027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("public", "message", "signature"), VECTORS)
def test_the_vectors_of_the_rfc(public, message, signature):
    key, text, signed = (bytes.fromhex(one) for one in (public, message, signature))
    assert is_signed(key, text, signed)
    assert not is_signed(key, text + b"x", signed)


def test_signatures_of_openssl_and_every_changed_part():
    for size in (0, 1, 63, 1000):
        private, message = Ed25519PrivateKey.generate(), os.urandom(size)
        key = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        signature = private.sign(message)
        assert is_signed(key, message, signature)
        for place in (0, 31, 32, 63):
            changed = bytearray(signature)
            changed[place] ^= 1
            assert not is_signed(key, message, bytes(changed))
        other = Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        assert not is_signed(other, message, signature)


def test_a_scalar_beyond_the_order_is_refused():
    """Otherwise a second signature could be made from a valid one (RFC 8032, section 5.1.7)."""
    private = Ed25519PrivateKey.generate()
    key = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    signature = private.sign(b"message")
    scalar = int.from_bytes(signature[32:], "little") + L
    assert not is_signed(key, b"message", signature[:32] + scalar.to_bytes(32, "little"))


@pytest.mark.parametrize(
    ("key", "signature"),
    [(b"", b"x" * 64), (b"\xff" * 32, b"x" * 64), (b"x" * 31, b""), (bytes(32), b"\xff" * 64)],
)
def test_what_is_no_key_or_signature_is_refused(key, signature):
    assert not is_signed(key, b"message", signature)
