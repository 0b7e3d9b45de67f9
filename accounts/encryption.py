"""Encryption at rest of secrets that must be readable again, with keys from the settings.

Invariant: data encrypted with an older key stays readable while that key is listed. The keys are
ENCRYPTION_KEYS, newest first, then SECRET_KEY and SECRET_KEY_FALLBACKS: what was stored before the first was
set can still be read. `manage.py rotate_keys` encrypts everything with the newest key.
"""

import base64

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


class Unreadable(Exception):
    """No key in the settings decrypts this: its key is no longer listed."""


def encrypt(text: str) -> bytes:
    """Encrypt with the newest key."""
    return _fernet().encrypt(text.encode())


def decrypt(stored: bytes | memoryview) -> str:
    """Decrypt with any listed key. Raises Unreadable."""
    try:
        return _fernet().decrypt(bytes(stored)).decode()
    except InvalidToken as error:
        raise Unreadable from error


def renewed(stored: bytes | memoryview) -> bytes | None:
    """The same secret encrypted with the newest key; None if it is already. Raises Unreadable."""
    try:
        _keys()[0].decrypt(bytes(stored))
    except InvalidToken:
        return encrypt(decrypt(stored))
    return None


def _fernet() -> MultiFernet:
    return MultiFernet(_keys())


def _keys() -> list[Fernet]:
    secrets = [*settings.ENCRYPTION_KEYS, settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return [Fernet(_key_from(secret)) for secret in secrets]


def _key_from(secret: str) -> bytes:
    """A Fernet key derived for this purpose only: SECRET_KEY also signs, with other derivations."""
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"refill.encryption").derive(
        secret.encode()
    )
    return base64.urlsafe_b64encode(derived)
