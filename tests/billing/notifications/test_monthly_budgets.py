"""Monthly budgets: e-mails at 50, 80 and 100 per cent, once a month each; refusals beyond one that pauses."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger, tasks
from billing.models import Limit, Mail, MonthlyBudget
from billing.notifications import monthly_budgets
from core.amounts import plain

pytestmark = pytest.mark.django_db
DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)
Use = Callable[[str], None]


@pytest.fixture
def account(clock: Any, account: Account) -> Account:
    """It has 10,100 credits at noon of 20 November."""
    ledger.grant(
        account_id=account.pk, credits=Decimal(10_000), kind="top_up", label="x", key="x", now=timezone.now()
    )
    return account


def save(account: Account, credits: str | None, *, pauses: bool = False) -> monthly_budgets.Spending | None:
    amount = None if credits is None else Decimal(credits)
    return monthly_budgets.save(account.pk, credits=amount, pauses=pauses, now=timezone.now())


def spend(use: Use, clock: Any, credits: str) -> None:
    clock.shift(1)
    use(credits)


def subjects() -> list[str]:
    """The subjects of the e-mails since the last call."""
    tasks.queue_notices()
    tasks.queue_notices()
    tasks.send_emails()
    found = [str(message.subject).partition(": ")[2] for message in mail.outbox]
    mail.outbox.clear()
    return [subject for subject in found if "budget" in subject]


def test_each_step_is_warned_of_once_in_a_month(account: Account, use: Use, clock: Any) -> None:
    save(account, "100")
    warned = []
    for credits in ("49.999999", "0.000001", "20", "20", "9", "1", "50"):
        spend(use, clock, credits)
        warned.append(subjects())
    at = {step: [f"{step}% of your monthly budget is spent"] for step in (50, 80, 100)}
    assert warned == [[], at[50], [], at[80], [], at[100], []]
    clock.move_to(DECEMBER)
    assert subjects() == []
    use("60")
    assert subjects() == at[50], "the next month begins anew"


def test_of_several_steps_at_once_the_highest_is_sent(account: Account, use: Use, clock: Any) -> None:
    save(account, "100")
    spend(use, clock, "130")
    assert subjects() == ["100% of your monthly budget is spent"]
    spend(use, clock, "1")
    assert subjects() == []


def test_a_budget_that_pauses_refuses_until_the_next_month_of_the_accounts_zone(
    account: Account, use: Use, clock: Any
) -> None:
    Account.objects.filter(pk=account.pk).update(zone="Asia/Kathmandu")
    save(account, "100", pauses=True)
    spend(use, clock, "95")
    with pytest.raises(ledger.LimitReached) as refusal:
        spend(use, clock, "5.000001")
    assert (refusal.value.limit, refusal.value.used) == ("account", Decimal(95))
    assert refusal.value.resets_at == datetime(2026, 11, 30, 18, 15, tzinfo=UTC)
    spend(use, clock, "5")
    clock.move_to(refusal.value.resets_at)
    begun = monthly_budgets.get(account.pk, timezone.now())
    assert begun is not None and begun.used == 0
    use("100")
    tasks.queue_notices()
    assert Mail.objects.get(template="monthly_budget").context["day"] == "2027-01-01", "of the zone"


def test_a_budget_that_only_warns_refuses_nothing(account: Account, use: Use, clock: Any) -> None:
    save(account, "100")
    spend(use, clock, "5000")
    spending = monthly_budgets.get(account.pk, timezone.now())
    assert spending is not None
    assert (spending.percent, spending.is_spent, plain(spending.used)) == (5000, True, "5000")


def test_what_was_spent_before_counts_and_is_not_warned_of(account: Account, use: Use, clock: Any) -> None:
    spend(use, clock, "60")
    spending = save(account, "100")
    assert spending is not None and plain(spending.used) == "60"
    assert subjects() == []
    spend(use, clock, "20")
    assert subjects() == ["80% of your monthly budget is spent"]
    for raised, credits in (("1000", "420"), ("2000", "500")):
        save(account, raised)
        spend(use, clock, credits)
        assert subjects() == ["50% of your monthly budget is spent"], "of each budget of the month"


def test_a_month_without_use_shows_nothing_used(account: Account, use: Use, clock: Any) -> None:
    save(account, "100")
    spend(use, clock, "60")
    clock.move_to(DECEMBER + timedelta(days=3))
    spending = monthly_budgets.get(account.pk, timezone.now())
    assert spending is not None
    assert (spending.used, spending.resets_at) == (0, datetime(2027, 1, 1, tzinfo=UTC))
    assert subjects() == []


def test_a_removed_budget_leaves_nothing(account: Account, use: Use, clock: Any) -> None:
    save(account, "100", pauses=True)
    assert save(account, None) is None
    assert not MonthlyBudget.objects.exists()
    assert not Limit.objects.filter(account=account, kind="account").exists()
    spend(use, clock, "500")
    assert subjects() == []


@pytest.mark.parametrize(
    ("pauses", "credits", "text"),
    [
        (False, "60", "60 of your budget of 100 credits for this month are spent or reserved. Calls go on"),
        (True, "60", "Calls beyond the budget will be refused until 1 December 2026."),
        (True, "100", "Calls beyond the budget are refused until 1 December 2026."),
    ],
)
def test_the_e_mail_says_what_follows(
    account: Account, use: Use, clock: Any, pauses: bool, credits: str, text: str
) -> None:
    save(account, "100", pauses=pauses)
    spend(use, clock, credits)
    tasks.queue_notices()
    Mail.objects.exclude(template="monthly_budget").delete()
    tasks.send_emails()
    [message] = mail.outbox
    assert text in message.body and "/billing/budget/" in message.body
    assert message.to == ["alice@example.org"]


def test_the_page_sets_and_shows_the_budget_and_the_dashboard_warns(
    account: Account, alice: User, use: Use, clock: Any, signed_in: Callable[[User], Client]
) -> None:
    client = signed_in(alice)
    assert client.post("/billing/budget/", {"credits": "200", "pauses": "on"}).status_code == 302
    spend(use, clock, "159")
    assert "monthly budget" not in client.get("/").content.decode()
    spend(use, clock, "2")
    assert "80% of the monthly budget of 200 credits is spent" in client.get("/").content.decode()
    spend(use, clock, "39")
    page = client.get("/billing/budget/").content.decode()
    assert "of 200 credits (100%)" in page and "Calls are refused until the budget resets" in page
    assert "The monthly budget of 200 credits is spent. Calls are refused" in client.get("/").content.decode()
    client.post("/billing/budget/", {"credits": ""})
    assert "The monthly budget" not in client.get("/").content.decode()


def test_the_api_reads_and_sets_it(account: Account, alice: User, api_of: Any, clock: Any) -> None:
    api = api_of(alice)
    nothing = {"credits": None, "pauses": False, "used": None, "resets_at": None}
    assert api.get("monthly-budget").json() == nothing
    saved = api.put("monthly-budget", {"credits": "12.5", "pauses": True})
    assert saved.json() == {
        "credits": "12.5", "pauses": True, "used": "0", "resets_at": "2026-12-01T00:00:00Z",
    }  # fmt: skip
    refused = api.post("charges", {"service": "claude-sonnet-4", "usage": {"tokens": 9000}}, key="1")
    problem = refused.json()
    assert (refused.status_code, problem["code"], problem["limit"]) == (429, "limit_reached", "account")
    assert api.get("monthly-budget").json() == saved.json()
    assert api.put("monthly-budget", {"credits": None}).json() == nothing
    for body in ({}, {"credits": "0"}, {"credits": "1", "pauses": None}):
        assert api.put("monthly-budget", body).status_code == 400
