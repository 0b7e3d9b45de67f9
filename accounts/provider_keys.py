"""An account's own keys at model providers: calls paid with them cost no credits.

Invariant: a stored key is encrypted and never shown again; only the last four signs are, to recognise it by.
"""

from datetime import datetime

from accounts import encryption
from accounts.models import Account, ProviderKey


def store(*, account: Account, provider: str, secret: str, now: datetime) -> ProviderKey:
    """Keep the account's key at a provider, in place of an older one. The caller checks the provider."""
    key, _ = ProviderKey.objects.update_or_create(
        account=account,
        provider=provider,
        defaults={"encrypted": encryption.encrypt(secret), "last_four": secret[-4:], "created_at": now},
    )
    return key


def secret_of(key: ProviderKey) -> str:
    """The key itself, for the call at the provider and for nothing else. Raises encryption.Unreadable."""
    return encryption.decrypt(key.encrypted)


def holds(account: Account, provider: str) -> bool:
    """Whether the account has a key of its own at that provider."""
    return ProviderKey.objects.filter(account=account, provider=provider).exists()


def forget(key: ProviderKey) -> None:
    """Delete the key. Calls at that provider cost credits again."""
    ProviderKey.objects.filter(pk=key.pk).delete()
