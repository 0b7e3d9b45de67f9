"""Schemathesis sends generated requests to every operation of the OpenAPI document.

No request causes a server error or a response that the document does not describe: status, content type,
schema and headers. A request that is valid, and names what exists, is accepted or refused by a rule of the
product (credits, a name that is taken …); an invalid one is refused. SEED selects other requests, EXAMPLES
more.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from django.utils import timezone
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as hypothesis_settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.core.control import SkipTest
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from accounts import provider_keys, team_requests
from accounts.models import Account, Membership, User
from billing import ledger
from billing.models import Grant, Purchase
from pricing.catalogue import cache as catalogue_cache
from tests import openapi
from tests.billing import stripe_sandbox
from tests.billing.conftest import change_policies
from tests.config.generated.narrowing import narrowed
from tests.conftest import forget_cached
from usage.history import exports
from usage.history.pages import Filter

SEED = int(os.environ.get("SEED") or 1)
EXAMPLES = int(os.environ.get("EXAMPLES") or 4)
OPERATIONS = [
    (path, method) for path, methods in openapi.document()["paths"].items() for method in sorted(methods)
]
DESCRIBED = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# Refusals of valid requests: rules of the product, never the form of the request or its key.
RULES = {402, 403, 404, 409, 422, 406}  # 406: WSGI cannot keep a stream open
# What automatic top-up needs: a pack, a saved card, limits that fit the pack.
NEEDED = {"required", "no_card", "below_price", "above_pack"}
# Stripe's sandbox takes longer than the rest of a request.
SLOW = {"/api/v1/checkouts", "/api/v1/subscription/change", "/api/v1/auto-top-up"}
Send = Callable[[str, str], None]


@pytest.fixture
def objects(
    catalogue: None, alice: User, api_of: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> dict[str, list[str]]:
    """Names and ids that exist, by the field or parameter that has them. Alice has many credits."""
    stripe_sandbox.connect(settings, monkeypatch)
    change_policies(providers=[{"key": "acme", "name": "Acme"}], teams={})
    account, now = Account.objects.get(person=alice), timezone.now()
    granted = ledger.grant(
        account_id=account.pk, credits=Decimal(10**6), kind="top_up", label="Pack", key="many", now=now
    )
    api = api_of(alice)
    project = api.post("projects", {"name": "First"}).json()["id"]
    membership = Membership.objects.get(account=account)
    endpoint = api.post("webhook-endpoints", {"url": "https://hooks.example.com/refill"}).json()["id"]
    test = api.post(f"webhook-endpoints/{endpoint}/test").json()
    use = {"service": "claude-sonnet-4", "usage": {"tokens": 5000}}
    purchase = Purchase.objects.create(
        account=account, kind="pack", origin="api", offer="small", label="Small", quantity=1, status="paid",
        credits=Decimal(100), amount=900, list_amount=900, currency="usd", created_at=now, paid_at=now,
    )  # fmt: skip
    provider_key = provider_keys.store(account=account, provider="openai", secret="sk-12345678", now=now)
    export = exports.request(account, alice, Filter(), now)
    exports.write_waiting(now)
    asked = team_requests.create(user=alice, kind="family", name="Liddell", note="", now=now)
    return {
        "account": [account.public_id],
        "service": [use["service"]],
        "{charge}": [api.post("charges", use, key="charge").json()["id"]],
        "{hold}": [api.post("holds", use, key="hold").json()["id"]],
        "project": [project],
        "{project}": [project],
        "{account}": [account.public_id],
        "{service}": [use["service"]],
        "{member}": [membership.public_id],
        "{key}": [api.post("keys", {"name": "Server", "scopes": ["read"]}).json()["id"]],
        "member": [alice.public_id],
        "grant": [Grant.public_id_of(granted.grant_id)],
        "{purchase}": [purchase.public_id],
        "{provider_key}": [provider_key.public_id],
        "provider": ["acme"],
        "{export}": [export.public_id],
        "{team_request}": [asked.public_id],
        "{webhook_endpoint}": [test["endpoint"]],
        "{webhook_delivery}": [test["id"]],
        "endpoint": [test["endpoint"]],
        "url": ["https://hooks.example.com/refill"],
        "plan": ["starter"],
        "pack": ["small"],
        "currency": ["usd"],
        "zone": ["Europe/Berlin", "UTC"],
        "timezone": ["Asia/Tokyo"],
    }


@pytest.fixture
def application(objects: Any, platform_api: Any) -> Iterator[Any]:
    """The WSGI application, in the transaction of the test. Django's test client, which other fixtures use,
    connects the signals again."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    django = get_wsgi_application()
    yield lambda environ, start: django(environ | {"REMOTE_ADDR": "127.0.0.1"}, start)
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.fixture
def sender(
    noon: None, application: Any, objects: dict[str, list[str]], alice: User, api_of: Any, platform_api: Any
) -> Callable[[GenerationMode], Send]:
    """Sends generated requests of one operation, with a key that may use it."""
    account_key = api_of(alice).secret

    def of_mode(mode: GenerationMode) -> Send:
        document = narrowed(openapi.document(), objects) if mode.is_positive else openapi.document()
        schema = schemathesis.openapi.from_dict(document, config=generation(mode))
        schema.app = application

        def send(path: str, method: str) -> None:
            for_platform = "session" not in str(document["paths"][path][method]["security"])
            secret = platform_api.secret if for_platform else account_key
            send_cases(schema[path][method.upper()], path, mode, secret)

        return send

    return of_mode


def generation(mode: GenerationMode) -> SchemathesisConfig:
    generated = GenerationConfig(
        modes=[mode], allow_x00=False, with_security_parameters=False, database="none"
    )
    return SchemathesisConfig(projects=ProjectsConfig(default=ProjectConfig(generation=generated)))


def send_cases(operation: Any, path: str, mode: GenerationMode, secret: str) -> None:
    headers = {"Authorization": f"Bearer {secret}", "Accept-Encoding": "identity"}
    # A batch answers an invalid item with an error of its own.
    refused = mode.is_negative and not path.endswith("/batch")
    checks = [*DESCRIBED, negative_data_rejection] if refused else DESCRIBED

    @seed(SEED)
    @hypothesis_settings(
        max_examples=2 if path in SLOW else EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def every_case(case: Any) -> None:
        response = case.call_and_validate(headers=headers, checks=checks)
        if mode.is_positive and response.status_code >= 300:
            missing = {error["code"] for error in response.json().get("errors", [])}
            needed = path == "/api/v1/auto-top-up" and missing and missing <= NEEDED
            assert needed or response.status_code in RULES, f"{case.as_curl_command()}\n{response.text}"

    every_case()


@contextmanager
def from_the_same_objects() -> Iterator[None]:
    """What the requests of one operation have changed is undone before those of the next.

    By a savepoint: requests to Stripe are not made inside an atomic block.
    """
    before = transaction.savepoint()
    try:
        yield
    finally:
        transaction.savepoint_rollback(before)
        forget_cached()
        catalogue_cache.forget()


def test_valid_requests_are_accepted(
    sender: Callable[[GenerationMode], Send], subtests: pytest.Subtests
) -> None:
    print(f"SEED={SEED} EXAMPLES={EXAMPLES}")
    send = sender(GenerationMode.POSITIVE)
    for path, method in OPERATIONS:
        with subtests.test(path=path, method=method), from_the_same_objects():
            send(path, method)


def test_invalid_requests_are_refused(
    sender: Callable[[GenerationMode], Send], subtests: pytest.Subtests
) -> None:
    print(f"SEED={SEED} EXAMPLES={EXAMPLES}")
    send = sender(GenerationMode.NEGATIVE)
    for path, method in OPERATIONS:
        operation = openapi.document()["paths"][path][method]
        if not operation.get("parameters") and "requestBody" not in operation:
            continue  # has nothing that could be invalid
        with subtests.test(path=path, method=method), from_the_same_objects(), suppress(SkipTest):
            send(path, method)  # SkipTest: no invalid value exists
