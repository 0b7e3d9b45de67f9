"""Refused calls of the demo user: more credits than there are, beyond the limit of a key, without a scope.

Invariant: they are requests to the REST API, made in this process, and are counted as all others are; they
are made only while the account has none of the last day.
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from urllib.parse import urlsplit

from django.conf import settings
from django.test import Client

from accounts import api_keys
from accounts.models import Account, ApiKey
from billing import ledger
from pricing import lookup
from usage.demo.world import World
from usage.refusals import reading, storing

LIMITED, READING = "Nightly report", "Status page"  # names of keys
LIMIT = Decimal(1)  # credits a day
_AGAIN = timedelta(days=1)


def make(world: World, now: datetime) -> None:
    """Send requests that are refused, if none was in the last day, and store them."""
    if not world.service or reading.number(world.account.pk, since=now - _AGAIN):
        return
    balance = ledger.balance(world.account.pk, now)
    _charge(world, world.account_key, _usage_above(world, balance.total, now), now)
    limited = _new_key(world.account, LIMITED, ApiKey.Scope.values, LIMIT, now)
    if limited:
        for _time in range(3):
            _charge(world, limited, _usage_above(world, LIMIT, now), now)
    reader = _new_key(world.account, READING, [ApiKey.Scope.READ], None, now)
    if reader:
        _charge(world, reader, world.usage, now)
    storing.store_counted()


def _usage_above(world: World, credits: Decimal, now: datetime) -> dict[str, int]:
    """A multiple of the example usage that costs more than these credits."""
    price = lookup.price_use(service=world.service, usage=world.usage, now=now).credits
    times = int(credits / price) + 1 if price else 1
    return {meter: quantity * times for meter, quantity in world.usage.items()}


def _new_key(
    account: Account, name: str, scopes: list[str], limit: Decimal | None, now: datetime
) -> str | None:
    """The secret of a new key with this name; None if the account has one, whose secret is not stored."""
    if ApiKey.objects.filter(account=account, name=name).exists():
        return None
    issued = api_keys.issue(
        kind=ApiKey.Kind.ACCOUNT,
        name=name,
        scopes=scopes,
        account=account,
        created_by=account.person,
        daily_limit=limit,
        now=now,
    )
    return issued.secret


def _charge(world: World, secret: str, usage: Mapping[str, int], now: datetime) -> None:
    Client().post(
        "/api/v1/charges",
        json.dumps({"service": world.service, "usage": usage}),
        content_type="application/json",
        secure=settings.SITE_URL.startswith("https:"),
        headers={
            "Host": urlsplit(settings.SITE_URL).netloc,
            "Authorization": f"Bearer {secret}",
            "Idempotency-Key": f"demo-refused:{now.isoformat()}:{secret[-8:]}",
        },
    )
