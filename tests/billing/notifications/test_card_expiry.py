"""Warnings of cards that expire at the end of the month: one for each card that pays something."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from accounts.models import Account
from billing.models import AutoTopUp, BillingProfile, Mail
from billing.notifications import card_expiry

NOW = datetime(2026, 11, 30, 23, tzinfo=UTC)
VISA, MASTERCARD = ("pm_visa", "visa", "4242"), ("pm_master", "mastercard", "4444")
THIS, NEXT = "11/2026", "12/2026"
TOP_UP, PLAN, BOTH = (False, True), (True, False), (True, True)


def card(prefix: str, card: tuple[str, str, str], expires: str) -> dict[str, str]:
    names = (f"{prefix}_id", f"{prefix}_brand", f"{prefix}_last4", f"{prefix}_expires")
    return dict(zip(names, (*card, expires), strict=True))


def profile(saved: str, of_plan: str = "", *, plans: tuple[str, str, str] = VISA) -> dict[str, str]:
    fields = card("card", VISA, saved)
    return fields | card("plan_card", plans, of_plan) if of_plan else fields


@pytest.mark.parametrize(
    ("fields", "top_up", "warned"),
    [
        (profile(THIS), True, [("4242", *TOP_UP)]),
        (profile(NEXT), True, []),
        (profile(THIS), False, []),
        (profile(THIS), None, []),
        (profile(THIS, THIS), True, [("4242", *BOTH)]),
        (profile(THIS, THIS), False, [("4242", *PLAN)]),
        (profile(NEXT, THIS, plans=MASTERCARD), True, [("4444", *PLAN)]),
        (profile(THIS, NEXT, plans=MASTERCARD), True, [("4242", *TOP_UP)]),
        (profile(THIS, NEXT, plans=MASTERCARD), False, []),
        (profile(THIS, THIS, plans=MASTERCARD), True, [("4444", *PLAN), ("4242", *TOP_UP)]),
        (profile(THIS, THIS, plans=MASTERCARD), None, [("4444", *PLAN)]),
    ],
)
def test_each_card_that_pays_something_and_expires_this_month_is_warned_of(
    account: Account, fields: dict[str, str], top_up: bool | None, warned: list[Any]
) -> None:
    BillingProfile.objects.create(account=account, **fields)
    if top_up is not None:
        AutoTopUp.objects.create(account=account, enabled=top_up)
    assert card_expiry.queue_due(NOW) == len(warned)
    mails = [one.context for one in Mail.objects.order_by("pk")]
    assert [(mail["last4"], mail["plan"], mail["top_up"]) for mail in mails] == warned
    assert {mail["expires"] for mail in mails} <= {THIS}
    card_expiry.queue_due(NOW)
    assert Mail.objects.count() == len(warned)


def test_a_card_with_a_new_date_is_warned_of_again(account: Account) -> None:
    BillingProfile.objects.create(account=account, **profile("", THIS))
    card_expiry.queue_due(NOW)
    BillingProfile.objects.update(plan_card_expires=NEXT)
    card_expiry.queue_due(NOW + timedelta(days=1))
    contexts = [mail.context for mail in Mail.objects.order_by("pk")]
    assert [(context["card"], context["expires"]) for context in contexts] == [("Visa", THIS), ("Visa", NEXT)]
