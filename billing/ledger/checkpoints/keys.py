"""The keys that sign checkpoints (Ed25519, RFC 8032).

LEDGER_SIGNING_KEY is the current private key: 32 random bytes in base64. Without it the key is derived from
SECRET_KEY, and keys derived from SECRET_KEY_FALLBACKS are old keys. LEDGER_OLD_PUBLIC_KEYS lists the public
keys of earlier private keys.
Invariant: no key is stored in the database; a checkpoint signed with a key that is no longer listed is not
valid.
"""

import base64
import binascii
import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

KEY_BYTES = 32


def sign(message: bytes) -> bytes:
    """Return the message's signature by the current key (64 bytes)."""
    return _current().sign(message)


def current_id() -> str:
    """The id of the key that signs now."""
    return key_id(_public(_current()))


def is_valid(*, signer: str, signature: bytes, message: bytes) -> bool:
    """Whether the key with the id `signer` is one of ours and signed the message."""
    public = public_keys().get(signer)
    if public is None:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def public_keys() -> dict[str, bytes]:
    """The public keys by their ids, the current one first. Raises ImproperlyConfigured."""
    keys = [_public(_current())]
    keys += [_decoded(text, "LEDGER_OLD_PUBLIC_KEYS") for text in settings.LEDGER_OLD_PUBLIC_KEYS]
    if not settings.LEDGER_SIGNING_KEY:
        keys += [_public(_derived(secret)) for secret in settings.SECRET_KEY_FALLBACKS]
    return {key_id(public): public for public in keys}


def key_id(public: bytes) -> str:
    """The first 16 hexadecimal digits of the public key's SHA-256."""
    return hashlib.sha256(public).hexdigest()[:16]


def _current() -> Ed25519PrivateKey:
    if settings.LEDGER_SIGNING_KEY:
        return Ed25519PrivateKey.from_private_bytes(
            _decoded(settings.LEDGER_SIGNING_KEY, "LEDGER_SIGNING_KEY")
        )
    return _derived(settings.SECRET_KEY)


def _derived(secret: str) -> Ed25519PrivateKey:
    kdf = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=b"refill.ledger.checkpoints")
    return Ed25519PrivateKey.from_private_bytes(kdf.derive(secret.encode()))


def _public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _decoded(text: str, variable: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        raise ImproperlyConfigured(f"{variable} must be {KEY_BYTES} bytes in base64")
    return key
