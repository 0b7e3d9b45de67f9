"""Encrypting stored secrets again with the newest key, so that an older key can be removed from the settings.

Invariant: a secret that is changed meanwhile keeps its change; running it again changes nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from allauth.mfa.models import Authenticator
from django.db import models, transaction

from accounts import encryption
from accounts.models import FormerSecret, ProviderKey, WebhookEndpoint


@dataclass
class Rotation:
    """What was done: secrets by kind, and the rows with a secret that no key reads."""

    renewed: dict[str, int] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)


def rotate() -> Rotation:
    """Encrypt provider keys, secrets of webhook endpoints and second factors with the newest key."""
    done = Rotation()
    _rotate(done, "provider keys", ProviderKey, _renew_column("encrypted"))
    _rotate(done, "webhook secrets", WebhookEndpoint, _renew_column("secret"))
    _rotate(done, "former webhook secrets", FormerSecret, _renew_column("secret"))
    _rotate(done, "second factors", Authenticator, _renew_second_factor)
    return done


def _rotate(done: Rotation, kind: str, model: type[models.Model], renew: Callable[[Any], list[str]]) -> None:
    """`renew` replaces secrets of a locked row and returns the names of the changed columns."""
    manager = model._default_manager
    done.renewed[kind] = 0
    for pk in list(manager.order_by("pk").values_list("pk", flat=True)):
        with transaction.atomic():
            row = manager.select_for_update(no_key=True).filter(pk=pk).first()
            if row is None:
                continue  # removed meanwhile
            try:
                changed = renew(row)
            except encryption.Unreadable:
                done.unreadable.append(f"{kind}: {pk}")
                continue
            if changed:
                row.save(update_fields=changed)
                done.renewed[kind] += 1


def _renew_column(column: str) -> Callable[[Any], list[str]]:
    def renew(row: Any) -> list[str]:
        fresh = encryption.renewed(getattr(row, column))
        if fresh is None:
            return []
        setattr(row, column, fresh)
        return [column]

    return renew


def _renew_second_factor(row: Authenticator) -> list[str]:
    """The secret of an authenticator app, or the seed and codes of recovery codes (allauth.mfa)."""
    before = dict(row.data)
    for name in ("secret", "seed"):
        if name in row.data:
            row.data[name] = _renewed_text(row.data[name])
    if "migrated_codes" in row.data:
        row.data["migrated_codes"] = [_renewed_text(code) for code in row.data["migrated_codes"]]
    return ["data"] if row.data != before else []


def _renewed_text(stored: str) -> str:
    fresh = encryption.renewed(stored.encode())
    return stored if fresh is None else fresh.decode()
