"""Secrets of others that we must be able to read back: encrypted at rest, with keys from the settings.

Invariant: what is stored under an older key stays readable while that key is still listed. The keys are
ENCRYPTION_KEYS where it is set, else derived from SECRET_KEY and SECRET_KEY_FALLBACKS, the newest first.
"""

import base64

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


class Unreadable(Exception):
    """No key in the settings opens this: it was stored under one that is no longer listed."""


def encrypt(text: str) -> bytes:
    """Under the newest key."""
    return _fernet().encrypt(text.encode())


def decrypt(stored: bytes | memoryview) -> str:
    """Raises Unreadable."""
    try:
        return _fernet().decrypt(bytes(stored)).decode()
    except InvalidToken as error:
        raise Unreadable from error


def _fernet() -> MultiFernet:
    secrets = settings.ENCRYPTION_KEYS or [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return MultiFernet([Fernet(_key_from(secret)) for secret in secrets])


def _key_from(secret: str) -> bytes:
    """Fernet's 32 bytes, for this purpose alone: the same SECRET_KEY also signs, with other derivations."""
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"refill.encryption").derive(
        secret.encode()
    )
    return base64.urlsafe_b64encode(derived)
