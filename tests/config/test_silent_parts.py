"""Charges and pages go on while the cache or the broker does not answer."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from billing.tasks import checkpoint_ledger
from tests.api import Api

pytestmark = [pytest.mark.django_db, pytest.mark.fault("O7")]
PAGES = ["/", "/usage/", "/history/", "/history/statement/", "/pricing/", "/billing/", "/billing/buy/"]


def test_without_the_cache(
    alice: User,
    api_of: Callable[..., Api],
    signed_in: Callable[[User], Client],
    settings: Any,
    client: Client,
) -> None:
    api, browser = api_of(alice), signed_in(alice)
    redis = "django.core.cache.backends.redis.RedisCache"
    settings.CACHES = {"default": {"BACKEND": redis, "LOCATION": "redis://127.0.0.1:1"}}

    assert {path: browser.get(path).status_code for path in PAGES} == dict.fromkeys(PAGES, 200)
    use = {"service": "claude-sonnet-4", "usage": {"tokens": 10}}
    assert api.post("charges", use, key="k").status_code == 201
    assert client.get("/readyz").status_code == 200
    assert client.get("/healthz/background").json()["checks"]["worker"] == "does not answer"


def test_without_the_broker(
    alice: User, signed_in: Callable[[User], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused() -> None:
        raise ConnectionError

    monkeypatch.setattr(checkpoint_ledger, "delay", refused)
    assert signed_in(alice).get("/history/statement/").status_code == 200
