"""An account's own keys at model providers: calls paid with them cost no credits.

Invariant: a stored key is encrypted and never shown again; only its last four characters are.
"""

from datetime import datetime

from accounts import encryption
from accounts.models import Account, ProviderKey


def store(*, account: Account, provider: str, secret: str, now: datetime) -> ProviderKey:
    """Store the account's key at a provider, replacing an older one. The caller validates the provider."""
    key, _ = ProviderKey.objects.update_or_create(
        account=account,
        provider=provider,
        defaults={"encrypted": encryption.encrypt(secret), "last_four": secret[-4:], "created_at": now},
    )
    return key


def secret_of(key: ProviderKey) -> str:
    """The decrypted key, for calls to the provider only. Raises encryption.Unreadable."""
    return encryption.decrypt(key.encrypted)


def forget(key: ProviderKey) -> None:
    """Delete the key. Calls to the provider cost credits again."""
    ProviderKey.objects.filter(pk=key.pk).delete()
