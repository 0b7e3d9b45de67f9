"""What the preview of a change of plan says in each case."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from accounts.models import Account, User
from billing.subscriptions import previews
from billing.subscriptions.invoice_amounts import InvoiceAmounts
from billing.subscriptions.previews import GrantOutcome, NewGrant, Preview
from pricing.models import Plan

pytestmark = pytest.mark.django_db
AT = datetime(2027, 3, 9, tzinfo=UTC)
AMOUNTS = InvoiceAmounts(price=1990, unused=0, balance_before=0, due=1990, balance_after=0)
FREE = {"due_now": 0}
NEW = "A new period begins now."
CREDITED, USED, ADDED = (
    "Unused part credited",
    "Paid from your credit balance",
    "Added to your credit balance",
)


def grant(outcome: str) -> dict[str, Any]:
    return {"grants": [GrantOutcome(label="Daily refresh", remaining=Decimal("7.5"), outcome=outcome)]}


def new_grant(credits: str) -> dict[str, Any]:
    return {"kind": "upgrade", "new_grants": [NewGrant(label="Bonus", credits=Decimal(credits))]}


def paid_now(due: int = 1990, **amounts: int) -> dict[str, Any]:
    return {"kind": "upgrade", "due_now": due, "amounts": replace(AMOUNTS, due=due, **amounts)}


@pytest.mark.parametrize(
    ("changes", "shown", "absent"),
    [
        ({}, ["Continue to payment", "After payment", "Every day", "$19.90"], [NEW, "Immediately", "$19.9 "]),
        (
            {"kind": "keep", "due_now": 0},
            ["<h1>Keep Creator</h1>", ">Keep Creator</button>", "Immediately"],
            ["Every day"],
        ),
        (
            {"kind": "downgrade", "due_now": 0},
            ["9 Mar 2027", "Change plan</button>"],
            ["Immediately", "After payment"],
        ),
        (FREE | {"kind": "cancel", "amount": 0}, ["9 Mar 2027", ">Nothing<"], ["<dt>Price</dt>"]),
        (paid_now(), ["Pay $19.90 and change plan", "Immediately", NEW], [CREDITED, USED, ADDED]),
        (paid_now(1000, unused=990), [CREDITED, "$9.90", "Pay $10.00 and"], [USED, ADDED]),
        (paid_now(1500, balance_before=-490), [USED, "$4.90"], [CREDITED, ADDED]),
        (paid_now(0, unused=2500, balance_after=-510), [ADDED, "$5.10", ">Nothing<"], [USED]),
        ({"currency": "jpy", "amount": 1990, "due_now": 1990}, ["¥1,990"], ["$"]),
        (grant("stays"), ['Daily refresh: <span class="figure">7.5</span>', ">Kept<"], ["Ends with"]),
        (grant("carried"), [">Carried over<"], [">Kept<", "Ends with the change"]),
        (grant("until"), [">Kept until the change<"], [">Kept<", "Ends with the change"]),
        (grant("lost"), [">Ends with the change<"], [">Kept<", "Carried over"]),
        (new_grant("81"), ["New credits", 'Bonus: <span class="figure">81</span>'], ["Every month"]),
        (new_grant("0"), [], ["New credits"]),
        ({"leaves_legacy": True}, ["I understand and want to leave this plan"], []),
        ({"leaves_legacy": False}, [], ["I understand and want to leave this plan"]),
    ],
)
def test_the_preview_says_what_is_the_case_and_only_then(
    account: Account,
    alice: User,
    signed_in: Callable[[User], Client],
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    shown: list[str],
    absent: list[str],
) -> None:
    preview = Preview(
        kind="subscribe",
        plan=Plan.objects.get(key="creator"),
        interval="month",
        currency="usd",
        amount=1990,
        due_now=1990,
        takes_effect=AT,
        leaves_legacy=False,
    )
    monkeypatch.setattr(previews, "preview", lambda *_args, **_terms: replace(preview, **changes))
    page = " ".join(signed_in(alice).get("/plans/creator/").content.decode().split())
    assert [words for words in shown if words not in page] == []
    assert [words for words in absent if words in page] == []
