"""Two accounts with the same history, whose answers and rows are compared.

Ids and times are replaced by the number of their first appearance.
"""

import json
import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone

from accounts import api_keys, registration
from accounts.models import Account, User
from billing import ledger
from billing.models import Charge, Entry, Grant, Hold
from core.models import KeptAnswer
from tests.config.front.rsgi import Response

_VARIES = re.compile(
    r"\b(?:[a-z]{2,5}_[0-9A-Za-z_-]{16,}(?:\.[0-9A-Za-z_.:-]+)?|\d{4}-\d\d-\d\dT[\d:.]+(?:Z|\+00:00)"
    r"|[0-9a-f]{32}|[0-9a-f-]{36}|Wy[0-9A-Za-z_-]{40,}:[0-9A-Za-z]{6}:[0-9A-Za-z_-]{43})(?![0-9A-Za-z])"
)

_ROWS: tuple[tuple[Any, str], ...] = (
    (Grant, "first_seq"),
    (Charge, "idempotency_key"),
    (Hold, "idempotency_key"),
    (Entry, "seq"),
)


class Twin:
    """An account with keys, and the names by which its answers are compared."""

    def __init__(self, name: str) -> None:
        self.name = name
        user = User.objects.create_user(f"{name}@example.org", "correct horse battery staple")
        registration.open_personal_account(user, timezone.now())
        self.account = Account.objects.get(person=user)
        self.account.external_id = name
        self.account.save()
        own: dict[str, Any] = {"kind": "account", "account": self.account, "created_by": user}
        scopes = ("read", "spend")
        self.secrets = {
            "account": api_keys.issue(**own, name="a", scopes=scopes, now=timezone.now()).secret,
            "reader": api_keys.issue(**own, name="b", scopes=["read"], now=timezone.now()).secret,
            "platform": api_keys.issue(kind="platform", name="c", scopes=scopes, now=timezone.now()).secret,
        }
        for number in range(3):
            ledger.grant(
                account_id=self.account.pk, credits=Decimal(2000), kind="top_up", label="Pack",
                key=f"pack:{number}", now=timezone.now() + timedelta(milliseconds=number),
            )  # fmt: skip
        self.holds: list[str] = []
        self.parents: list[str] = []
        self._seen: dict[str, str] = {}

    def same(self, text: str) -> str:
        """The text with names, ids and times replaced."""
        text = text.replace(self.name, "account")
        return _VARIES.sub(lambda match: self._seen.setdefault(match[0], f"#{len(self._seen)}"), text)

    def comparable(self, response: Response) -> tuple[int, dict[str, str], str]:
        """Status, headers and body of a response to this twin; remembers the holds that it was given."""
        named = sorted((name.lower(), value) for name, value in response.headers)
        body = response.body.decode()
        if response.status == 201 and '"id":"hold_' in body:
            hold = json.loads(body)
            self.holds.append(hold["id"])
            self.parents += [hold["parent"]] if hold["parent"] else []
        return response.status, {name: self.same(value) for name, value in named}, self.same(body)

    def rows(self) -> list[str]:
        """What the ledger has of the account, and the answers that are kept for its keys."""
        found: list[str] = []
        for model, order in _ROWS:
            for row in model.objects.filter(account=self.account).order_by(order, "pk").values():
                found.append(self._row(row, without=("id",) if model is Entry else ()))
        for row in KeptAnswer.objects.filter(owner=self.account.pk).order_by("created_at", "key").values():
            found.append(self._row(row, without=("id",)))
        return found

    def _row(self, row: Any, *, without: tuple[str, ...]) -> str:
        for name in ("fingerprint", "digest", "hash", *without):  # they contain the account's id or name
            row.pop(name, None)
        return self.same(json.dumps(row, default=str, sort_keys=True))
