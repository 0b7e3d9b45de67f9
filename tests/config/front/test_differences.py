"""The front answers as Django does: generated requests, valid and not, are sent through both.

Two accounts with the same history get the same requests, one through Django's handler, the other through the
front. Status, headers, body and what the database has afterwards are compared; ids and times are replaced by
the number of their first appearance.
"""

import json
import os
import random
import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts import api_keys, registration
from accounts.models import Account, User
from billing import ledger
from billing.models import Charge, Entry, Grant
from tests.config.front.rsgi import Front, Response

REQUESTS = int(os.environ.get("REQUESTS", "400"))
SERVICES = ("claude-sonnet-4", "gpt-4o-mini", "no-such-service", "")
PATH = "/api/v1/charges"
_VARIES = re.compile(
    r"\b(?:[a-z]{2,5}_[0-9A-Za-z]{16,}|\d{4}-\d\d-\d\dT[\d:.]+(?:Z|\+00:00)|[0-9a-f]{32}|[0-9a-f-]{36})\b"
)


class Twin:
    """An account with a key, and the names by which its answers are compared."""

    def __init__(self, name: str) -> None:
        user = User.objects.create_user(f"{name}@example.org", "correct horse battery staple")
        registration.open_personal_account(user, timezone.now())
        self.account = Account.objects.get(person=user)
        self.account.external_id = name
        self.account.save()
        self.secret = api_keys.issue(
            kind="account", name="program", scopes=("read", "spend"), account=self.account, created_by=user,
            now=timezone.now(),
        ).secret  # fmt: skip
        for number in range(3):
            ledger.grant(
                account_id=self.account.pk, credits=Decimal(2000), kind="top_up", label="Pack",
                key=f"pack:{number}", now=timezone.now() + timedelta(milliseconds=number),
            )  # fmt: skip
        self.seen: dict[str, str] = {name: "account"}

    def same(self, text: str) -> str:
        """The text with ids and times replaced."""
        text = text.replace(self.account.external_id or "", "account")
        return _VARIES.sub(lambda match: self.seen.setdefault(match[0], f"#{len(self.seen)}"), text)


def generated(chance: random.Random, twin_name: str) -> tuple[dict[str, str], bytes]:
    """Headers and body of a request; the same chance gives the same request for another account."""
    body: Any = {"service": chance.choice(SERVICES + SERVICES[:1] * 8), "usage": _usage(chance)}
    for name, values in _OPTIONAL.items():
        if chance.random() < 0.12:
            body[name] = chance.choice(values)
    if chance.random() < 0.2:
        body["account"] = chance.choice([twin_name, "nobody", None, 7, ""])
    if chance.random() < 0.06:
        body = chance.choice([[], None, "text", {"service": 5}, {}, {**body, "unknown": 1}])
    content = json.dumps(body).encode()
    if chance.random() < 0.05:
        content = chance.choice(
            [b"{", b"", b'{"service":"a","service":"b"}', b"\xff", content + b" ", b"[" * 99]
        )
    headers = {"Content-Type": "application/json", "Idempotency-Key": f"key-{chance.randrange(200)}"}
    if chance.random() < 0.08:
        headers["Idempotency-Key"] = chance.choice(["", "a b", "ü", "x" * 256])
    if chance.random() < 0.05:
        headers["Content-Type"] = chance.choice(["text/plain", "application/json; charset=utf-8", "JSON"])
    if chance.random() < 0.05:
        headers["X-Request-Id"] = chance.choice(["mine-1", "not valid"])
    return headers, content


def _usage(chance: random.Random) -> Any:
    whole = {"tokens": chance.choice([1, 4999, 5000, 5001, 123_456])}
    odd: list[Any] = [
        {"tokens": -1},
        {"tokens": 0},
        {"tokens": "5"},
        {"tokens": True},
        {"pages": 1},
        {},
        [],
        None,
    ]
    return chance.choice([whole] * 12 + [{"input_tokens": 700, "output_tokens": 300}, {"tokens": 1.5}, *odd])


_OPTIONAL: dict[str, tuple[Any, ...]] = {
    "action": ("", None, "no-such-action", 5),
    "conversation": ("c-1", "", None, "x" * 201, "\u0000"),
    "options": ({}, {"size": "large"}, [], None),
    "metadata": ({"run": 7, "rate": 0.5}, {"a": "x" * 4096}, "text", None, {"n": [1, {"deep": True}]}),
    "project": ("proj_unknown", None),
    "member": ("usr_unknown", None),
    "own_key": (True, False),
    "estimate": ("est_unknown", None),
}


def through_django(twin: Twin, headers: dict[str, str], content: bytes) -> Response:
    answer = Client(headers={"authorization": f"Bearer {twin.secret}"}).generic(
        "POST", PATH, content, content_type=headers["Content-Type"],
        headers={name: value for name, value in headers.items() if name != "Content-Type"},
    )  # fmt: skip
    return Response(answer.content, answer.status_code, list(answer.items()))


def comparable(twin: Twin, response: Response) -> tuple[int, dict[str, str], str]:
    named = sorted((name.lower(), value) for name, value in response.headers)
    headers = {name: twin.same(value) for name, value in named}
    return response.status, headers, twin.same(response.body.decode())


def rows(twin: Twin) -> list[str]:
    """What the ledger has of the account."""
    found: list[str] = []
    for model, order in ((Grant, "first_seq"), (Charge, "created_at"), (Entry, "seq")):
        for row in model.objects.filter(account=twin.account).order_by(order, "pk").values():
            for name in ("fingerprint", "digest", "hash"):  # they contain the account's id or name
                row.pop(name, None)
            if model is Entry:
                del row["id"]
            found.append(twin.same(json.dumps(row, default=str, sort_keys=True)))
    return found


@pytest.mark.django_db(transaction=True)
def test_generated_charges_have_the_same_outcome_through_the_front(
    catalogue: None, front: Front, clock: Any
) -> None:
    seed = random.randrange(10**6)
    left, right = Twin("left"), Twin("right")
    chance_left, chance_right = random.Random(seed), random.Random(seed)
    for number in range(REQUESTS):
        clock.shift(1)
        headers, content = generated(chance_left, "left")
        expected = comparable(left, through_django(left, headers, content))
        headers, content = generated(chance_right, "right")
        sent = {**headers, "Authorization": f"Bearer {right.secret}"}
        assert comparable(right, front.send("POST", PATH, sent, content)) == expected, (seed, number, content)
    assert rows(left) == rows(right)
    assert Charge.objects.filter(account=left.account).count() > REQUESTS / 10
