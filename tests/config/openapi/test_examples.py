"""Examples of the OpenAPI document: requests that were sent, and their real answers.

`RECORD=1 pytest tests/config/openapi/test_examples.py` writes config/openapi/examples.json. Only what
differs in every run is replaced: ids, tokens and addresses of payment pages. A new operation needs a line
here.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from accounts import memberships
from accounts.models import Account, Membership, User
from billing.models import Purchase
from billing.purchases import checkout
from config.openapi import examples as recorded
from tests import openapi
from tests.accounts.webhook_endpoints.conftest import send_all
from tests.billing import stripe_sandbox
from tests.billing.conftest import change_policies
from tests.sandbox.conftest import Buyer
from usage.refusals import storing

ID = re.compile(r"\b([a-z]+)_([0-9a-f]{32})\b")
REQUEST_ID = re.compile(r"(?<=\"request_id\": \")[0-9a-f]{32}")
TOKEN = re.compile(
    r"""\bey[\w-]{20,}[\w.:-]*|(?<="next_cursor": ")[^"]+|(?<="id": ")W[\w:-]+"""
    r"""|(?<=whsec_)[\w+/=-]+|(?<=rk_account_)\w+|(?<=cs_test_)\w+|(?<=/bps_)\w+|(?<=/ch_)\w+|(?<=\bINV-)\w+"""
)
HASH = re.compile(r"\b[0-9a-f]{64}\b")
UUID = re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
KEYS = re.compile(r"(?<=\"keys\": ){[^}]*}")
CLAUDE = {"service": "claude-sonnet-4", "usage": {"tokens": 2500}}


class Recorder:
    """Sends requests and keeps the first answer of each operation and status."""

    def __init__(self, of_member: Any, of_platform: Any, clock: Any) -> None:
        self.of_member, self.of_platform, self.clock = of_member, of_platform, clock
        self.found: dict[str, dict[str, Any]] = {}
        self.ids: dict[str, str] = {}

    def send(self, method: str, path: str, body: Any = None, *, key: str | None = None, **names: str) -> Any:
        """Send a request. `path` is that of the document after /api/v1; `names` fill its parameters."""
        self.clock.shift(1)  # so that lists have one order
        address, _, query = path.partition("?")
        operation = openapi.document()["paths"][f"/api/v1{address}"][method]
        sender = self.of_member if "session" in operation["security"][-1] else self.of_platform
        names["key"] = names.get("key_id", "")  # `key` is the idempotency key
        url = f"/api/v1{address.format(**names)}" + (f"?{query}" if query else "")
        if method in {"get", "delete"}:
            answer = getattr(sender, method)(url)
        else:
            answer = getattr(sender, method)(url, body, key=key)
        text = answer.getvalue()
        content = json.loads(text) if text else None
        record: dict[str, Any] = {}
        if body is not None:
            record["request"] = body
        if content is not None:
            record["response"] = content
        kept = self.found.setdefault(operation["operationId"], {})
        kept.setdefault(str(answer.status_code), self._stable(record))
        return content

    def _stable(self, record: Any) -> Any:
        text = ID.sub(self._stable_id, json.dumps(record))
        text = KEYS.sub("{}", HASH.sub("0" * 64, UUID.sub("00000000-0000-0000-0000-000000000000", text)))
        return json.loads(REQUEST_ID.sub("0" * 32, TOKEN.sub("example", text)))

    def _stable_id(self, found: re.Match[str]) -> str:
        return self.ids.setdefault(found[0], f"{found[1]}_{0x01A36E15 + len(self.ids):032x}")


@pytest.fixture
def recorder(
    clock: Any, alice: User, api_of: Any, platform_api: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Recorder:
    stripe_sandbox.connect(settings, monkeypatch)
    settings.SITE_URL = "https://credits.example.org"
    change_policies(providers=[{"key": "openai", "name": "OpenAI"}], pause={"most_months": 3}, teams={})
    return Recorder(api_of(alice), platform_api, clock)


def test_the_examples_are_what_the_api_answers(
    recorder: Recorder, alice: User, bob: User, charlie: User, team: Account, api_of: Any
) -> None:
    account = Account.objects.get(person=alice)
    for part in (giving, using, reading, settings_of_the_account, buying):
        part(recorder, account)
    recorder.of_member = api_of(alice, account=team)
    Membership.objects.filter(account=team, user=bob).update(created_at=timezone.now())
    recorder.clock.shift(1)
    memberships.add(account=team, user=charlie, role="member", now=timezone.now())
    sharing(recorder)
    sending_webhooks(recorder)
    text = json.dumps(recorder.found, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    if os.environ.get("RECORD"):
        Path(recorded.FILE).write_text(text)
    assert Path(recorded.FILE).read_text() == text, "record the examples again: RECORD=1"


def giving(api: Recorder, account: Account) -> None:
    opened = api.send("post", "/accounts", {"external_id": "user-81", "name": "Ada", "zone": "Europe/Berlin"})
    api.send("post", "/accounts", {"external_id": "user-81"})
    api.send("get", "/accounts/{account}", account=opened["id"])
    given = {"credits": "500", "kind": "bonus", "expires_at": "2026-12-31T00:00:00Z", "reason": "Beta tester"}
    api.send("post", "/accounts/{account}/grants", given, key="bonus-81", account=account.public_id)


def using(api: Recorder, account: Account) -> None:
    project = api.send("post", "/projects", {"name": "Website", "daily_limit": "50"})
    api.send("post", "/projects", {"name": "Website"})
    api.send("patch", "/projects/{project}", {"daily_limit": "20"}, project=project["id"])
    api.send("post", "/estimates", {**CLAUDE, "conversation": "c-81"})
    use = {**CLAUDE, "project": project["id"], "conversation": "c-81", "metadata": {"request": 7}}
    charge = api.send("post", "/charges", use, key="call-8161")
    api.send("post", "/charges", use | {"usage": {"tokens": 20_000}}, key="call-8162")
    api.send("post", "/charges", use | {"usage": {"tokens": -1}}, key="call-8163")
    api.send("post", "/charges", CLAUDE | {"usage": {"tokens": 2_000_000}}, key="call-8164")
    api.send("post", "/charges", {"service": "nothing", "usage": {"uses": 1}}, key="call-8165")
    uses: list[dict[str, Any]] = [CLAUDE, {"service": "nothing", "usage": {"uses": 1}}]
    items = [item | {"idempotency_key": f"item-{number}"} for number, item in enumerate(uses)]
    api.send("post", "/charges/batch", {"data": items})
    api.send("get", "/charges/{charge}", charge=charge["id"])
    api.send("post", "/charges/{charge}/reports", {"reason": "Charged twice"}, charge=charge["id"])
    api.send("post", "/charges/{charge}/reversals", {"credits": "1"}, key="back-1", charge=charge["id"])
    hold = api.send("post", "/holds", {**CLAUDE, "expires_in": 600}, key="hold-1")
    api.send("get", "/holds")
    api.send("get", "/holds/{hold}", hold=hold["id"])
    api.send("put", "/holds/{hold}/usage", {"usage": {"tokens": 800}}, hold=hold["id"])
    api.send("post", "/holds/{hold}/capture", {"usage": {"tokens": 1200}}, key="capture-1", hold=hold["id"])
    api.send("post", "/holds/{hold}/release", {}, key="release-1", hold=hold["id"])
    other = api.send("post", "/holds", {**CLAUDE, "credits": "10"} | {"usage": {"tokens": 1}}, key="hold-2")
    assert other["status"] == 400
    other = api.send("post", "/holds", {"service": "claude-sonnet-4", "credits": "10"}, key="hold-3")
    api.send("post", "/holds/{hold}/release", {}, key="release-2", hold=other["id"])


def reading(api: Recorder, account: Account) -> None:
    storing.store_counted()
    for path in (
        "/balance",
        "/grants?limit=2",
        "/transactions?limit=2",
        "/services?limit=2",
        "/charges?limit=1",
        "/usage?group_by=service&interval=day&from=2026-11-19T00:00:00Z&to=2026-11-21T00:00:00Z",
        "/refusals?limit=1",
        "/projects",
        "/plans?limit=1",
        "/packs?limit=1",
        "/subscription",
        "/statement.json?from=2026-11-20T12:00:25Z",  # before a checkpoint, which differs in every run
        "/statement?limit=1",
        "/memorial-wall",
    ):
        api.send("get", path)
    api.send("get", "/services/{service}", service="claude-sonnet-4")
    export = api.send("post", "/exports", {"kind": "charge", "from": "2026-11-01T00:00:00Z"}, key="export-1")
    api.send("get", "/exports/{export}", export=export["id"])
    api.send("get", "/exports")


def settings_of_the_account(api: Recorder, account: Account) -> None:
    key = api.send("post", "/provider-keys", {"provider": "openai", "key": "sk-0123456789"})
    api.send("get", "/provider-keys")
    api.send("delete", "/provider-keys/{provider_key}", provider_key=key["id"])
    api.send("get", "/alerts")
    api.send("put", "/alerts", {"enabled": True, "below": "50", "also_below": ["20", "5"]})
    api.send("put", "/monthly-budget", {"credits": "2000", "pauses": True})
    api.send("get", "/monthly-budget")
    api.send("get", "/auto-top-up")
    api.send("put", "/auto-top-up", {"enabled": False, "below": "100", "pack": "small", "currency": "usd"})
    api.send("get", "/settings")
    api.send("patch", "/settings", {"name": "Ada Ltd", "zone": "Europe/Berlin", "tax_id": "DE123456789"})
    api.send("get", "/referral-link")
    api.send("get", "/referrals")
    api.send("post", "/payment-method", {}, key="card-1")
    api.send("post", "/redemptions", {"code": "WELCOME2026"}, key="code-1")
    api.send("post", "/redemptions", {"code": "NOSUCHCODE"}, key="code-2")


def buying(api: Recorder, account: Account) -> None:
    order = {"pack": "small", "currency": "usd"}
    api.send("post", "/checkouts", order | {"quantity": 2, "preview": True}, key="buy-0")
    first = api.send("post", "/checkouts", order, key="buy-1")
    pay(first)
    api.send("get", "/purchases?limit=1")
    api.send("get", "/purchases/{purchase}", purchase=first["id"])
    asked = {"reason": "Bought by mistake"}
    api.send("post", "/purchases/{purchase}/refund-requests", asked, key="refund-1", purchase=first["id"])
    api.send("delete", "/purchases/{purchase}/refund-requests", purchase=first["id"])
    other = api.send("post", "/checkouts", {"pack": "small", "currency": "usd"}, key="buy-2")
    api.send("post", "/purchases/{purchase}/cancel", {}, purchase=other["id"])
    api.send("post", "/purchases/{purchase}/cancel", {}, purchase=first["id"])
    change = {"plan": "starter", "interval": "month"}
    api.send("post", "/subscription/change", change | {"preview": True}, key="change-1")
    pay(api.send("post", "/subscription/change", change, key="change-2")["checkout"])
    api.send("post", "/subscription/cancel", {"feedback": "unused"}, key="cancel-1")
    api.send("post", "/subscription/resume", {})
    api.send("post", "/subscription/pause", {"months": 1})
    api.send("post", "/subscription/unpause", {})
    api.send("post", "/subscription/pay", {}, key="pay-1")
    api.send("post", "/auto-top-up/confirm", {}, key="confirm-1")
    api.send("post", "/customer-portal", {})
    api.send("get", "/payment-method")
    api.send("delete", "/payment-method")


def sharing(api: Recorder) -> None:
    [charlie, bob, _alice] = api.send("get", "/members")["data"]
    api.send("patch", "/members/{member}", {"monthly_limit": "200"}, member=bob["id"])
    api.send("post", "/members", {"email": "dora@example.org", "role": "member"})
    invitation = api.send("post", "/invitations", {"email": "eve@example.org", "role": "billing"})
    api.send("get", "/invitations?limit=1")
    api.send("delete", "/invitations/{invitation}", invitation=invitation["id"])
    key = api.send("post", "/keys", {"name": "Server", "scopes": ["read", "spend"], "daily_limit": "100"})
    api.send("get", "/keys?limit=1")
    api.send("patch", "/keys/{key}", {"daily_limit": "50"}, key_id=key["id"])
    api.send("delete", "/keys/{key}", key_id=key["id"])
    asked = {"kind": "family", "name": "The Liddells", "note": "Three sisters"}
    team = api.send("post", "/team-requests", asked)
    api.send("get", "/team-requests")
    api.send("delete", "/team-requests/{team_request}", team_request=team["id"])
    api.send("post", "/members/leave", {})
    api.send("delete", "/members/{member}", member=bob["id"])
    api.send("post", "/members/{member}/hand-over", {}, member=charlie["id"])


def sending_webhooks(api: Recorder) -> None:
    asked = {"url": "https://hooks.example.com/refill", "events": ["purchase.paid", "balance.low"]}
    endpoint = api.send("post", "/webhook-endpoints", asked)["id"]
    api.send("get", "/webhook-endpoints")
    change = {"description": "Production"}
    api.send("patch", "/webhook-endpoints/{webhook_endpoint}", change, webhook_endpoint=endpoint)
    api.send("post", "/webhook-endpoints/{webhook_endpoint}/rotate-secret", {}, webhook_endpoint=endpoint)
    test = api.send("post", "/webhook-endpoints/{webhook_endpoint}/test", {}, webhook_endpoint=endpoint)
    send_all(timezone.now())
    api.send("get", "/webhook-deliveries?limit=1")
    again = "/webhook-deliveries/{webhook_delivery}/redeliver"
    api.send("post", again, {}, webhook_delivery=test["id"])
    api.send("delete", "/webhook-endpoints/{webhook_endpoint}", webhook_endpoint=endpoint)


def pay(checkout_answer: dict[str, Any]) -> None:
    Buyer().pay(checkout_answer["url"])
    purchase = Purchase.objects.get(pk=Purchase.uuid_of(checkout_answer["purchase"]))
    checkout.refresh_from_stripe(purchase, timezone.now())


def test_every_operation_has_an_example_that_its_schema_allows() -> None:
    missing = []
    for path, methods in openapi.document()["paths"].items():
        for method, operation in methods.items():
            examples = recorded.of(operation["operationId"])
            answered = operation["responses"].get("200", {}).get("content", {"application/json": {}})
            if not examples and "application/json" in answered:
                missing.append(f"{method} {path}")
            for status, example in examples.items():
                _agrees(operation, status, example)
    assert missing == []


def _agrees(operation: Any, status: str, example: Any) -> None:
    if "request" in example and status < "300":
        body = operation["requestBody"]["content"]["application/json"]
        openapi.validator(json.dumps(body["schema"])).validate(example["request"])
        assert {"value": example["request"]} in body["examples"].values()
    if "response" in example:
        [content] = operation["responses"][status]["content"].values()
        openapi.validator(json.dumps(content["schema"])).validate(example["response"])
        assert content["examples"] == {"example": {"value": example["response"]}}
