"""What an e-mail says in each case, and does not say in another; money in its currency."""

from typing import Any

import pytest
from django.core import mail
from django.utils import timezone

from accounts.models import Account
from billing.notifications import emails

FACTS: dict[str, Any] = {"label": "Small", "purchase": "pur_x", "amount": 1500, "currency": "usd"}
CARD = {"card": "Visa", "last4": "4242", "expires": "11/2026", "plan": False, "top_up": False}
RECEIPT = FACTS | {"credits": "1500.5", "number": "R-1"}
FAILED = FACTS | {"error": "", "kind": "pack"}
REPORT = {"service": "GPT-4o", "charge": "chg_x", "reason": "Wrong", "answer": "Sorry", "returned": ""}
TOP_UP = FACTS | {"last4": "4242", "error": "", "paused": False, "hours": 0}
PLAN = {
    "plan": "Creator",
    "next_plan": "Starter",
    "day": "2026-12-01",
    "amount": 990,
    "currency": "usd",
    "interval": "month",
}
PAUSED, LATER = "paused until you save a card", "We will try again later"


@pytest.mark.parametrize(
    ("template", "facts", "shown", "absent"),
    [
        ("card_expiring", CARD | {"plan": True, "top_up": True}, "pays your plan and your automatic", ""),
        ("card_expiring", CARD | {"plan": True}, "It pays your plan.", "top-ups"),
        ("card_expiring", CARD | {"top_up": True}, "It pays your automatic top-ups.", "plan"),
        ("disputed", FACTS | {"is_plan": True}, "Your plan gives no more credits.", ""),
        ("disputed", FACTS | {"is_plan": False}, "payment of $15.00 for Small", "Your plan"),
        ("plan_cancelled", PLAN, "Creator is cancelled. It stays active until 1 December 2026", ""),
        ("plan_change", PLAN, "you are on Starter for $9.90 per month.", "per year"),
        ("plan_change", PLAN | {"interval": "year"}, "you are on Starter for $9.90 per year.", "per month"),
        ("refund_requested", FACTS | {"credits": "12"}, "of $15.00 for Small, for 12 unspent credits.", ""),
        ("export_ready", {"rows": 1, "days": 7}, "has 1 row. It is kept for 7 days.", "rows"),
        ("export_ready", {"rows": 12000, "days": 7}, "has 12000 rows. ", "1 row"),
        ("payment_failed", FAILED, "/billing/buy/", "Reason:"),
        ("payment_failed", FAILED | {"kind": "plan", "error": "Too late"}, "/plans/", "/billing/buy/"),
        ("payment_failed", FAILED | {"error": "Too late"}, "Reason: Too late", "/plans/"),
        (
            "payment_overdue",
            {"plan": "Pro", "url": "https://pay.example/1"},
            "https://pay.example/1",
            "",
        ),
        ("payment_overdue", {"plan": "Pro", "url": ""}, "change the card: http://", "pay.example"),
        ("payment_pending", FACTS | {"days": 0}, "payment of $15.00", "usually take"),
        ("payment_pending", FACTS | {"days": 1}, "usually take 1 business day.", ""),
        ("payment_pending", FACTS | {"days": 5}, "usually take 5 business days.", ""),
        ("receipt", RECEIPT, "We added 1,500.5 credits", ""),
        ("receipt", RECEIPT | {"credits": "0"}, "Invoice: R-1", "We added"),
        ("receipt", RECEIPT | {"currency": "jpy"}, "We received ¥1,500 for", ""),
        ("receipt", RECEIPT | {"currency": "kwd"}, "1.500 for", ""),
        ("refund_refused", FACTS | {"decision": "Spent"}, "Reason: Spent", ""),
        ("refund_refused", FACTS | {"decision": ""}, "could not approve", "Reason:"),
        ("refunded", FACTS | {"credits": "0"}, "We refunded $15.00 for Small", "removed"),
        ("refunded", FACTS | {"credits": "12"}, "removed 12 unspent credits", ""),
        ("report_answered", REPORT, "No credits were returned.", "We returned"),
        ("report_answered", REPORT | {"returned": "3"}, "We returned 3 credits", "No credits"),
        ("top_up_failed", TOP_UP | {"paused": True, "hours": 4}, PAUSED, "try again"),
        ("top_up_failed", TOP_UP | {"hours": 1}, "try again in 1 hour.", PAUSED),
        ("top_up_failed", TOP_UP | {"hours": 4}, "try again in 4 hours.", "later"),
        ("top_up_failed", TOP_UP, LATER, "Reason:"),
        ("top_up_failed", TOP_UP | {"error": "No funds"}, "Reason: No funds", PAUSED),
    ],
)
def test_an_e_mail_says_what_is_the_case_and_only_then(
    account: Account, template: str, facts: dict[str, Any], shown: str, absent: str
) -> None:
    emails.queue(account_id=account.pk, template=template, key="k", context=facts, now=timezone.now())
    assert emails.send_due(timezone.now()) == 1
    [sent] = mail.outbox
    text = " ".join(str(sent.body).replace("\u00a0", " ").split())
    assert shown in text
    assert not absent or absent not in text
