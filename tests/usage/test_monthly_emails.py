"""The statement of a month by e-mail: once to each owner, with a link that unsubscribes without a sign-in."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core import mail
from django.test import Client

from accounts.models import Account, Membership, User
from billing.notifications import emails
from tests.usage.spending import give, spend
from usage import monthly_emails
from usage.models import StatementEmails

pytestmark = pytest.mark.django_db
SECOND = datetime(2026, 12, 2, 9, tzinfo=UTC)
AccountOf = Callable[[User], Account]


@pytest.fixture
def account(clock: Any, alice: User, account_of: AccountOf) -> Account:
    """Of November: 500 credits bought, 130.5 spent in three calls; one more call in December."""
    account = account_of(alice)
    noon = datetime(2026, 11, 21, 12, tzinfo=UTC)
    give(account, "500", noon)
    for days, service, credits in ((0, "gpt-4o", "100.5"), (1, "claude-sonnet-4", "10"), (2, "gpt-4o", "20")):
        spend(account, credits, noon + timedelta(days=days), service=service)
    spend(account, "7", datetime(2026, 12, 1, 1, tzinfo=UTC), service="gpt-4o")
    clock.shift(12 * 86_400)
    return account


def sent(now: datetime = SECOND) -> list[Any]:
    """The e-mails of one run."""
    mail.outbox.clear()
    monthly_emails.queue_due(now)
    emails.send_due(now)
    return [one for one in mail.outbox if "statement" in one.subject]


def test_owners_get_it_once_with_the_figures_of_the_month(
    account: Account, alice: User, bob: User, signed_in: Callable[[User], Client]
) -> None:
    Membership.objects.create(
        account=account, user=bob, role=Membership.Role.MEMBER, created_at=account.created_at
    )
    assert sent(datetime(2026, 12, 1, 11, 59, tzinfo=UTC)) == [], "November goes on in the latest zone"
    [message] = sent()
    assert (message.to, message.subject) == (["alice@example.org"], "Refly: your statement of November 2026")
    text = str(message.body)
    assert "Spent: 130.5\n" in text and "Calls: 3\n" in text
    assert "GPT-4o: 120.5\nClaude Sonnet 4: 10\n" in text
    assert sent() == [], "once"
    page = re.search(r"/history/statement/\S+", text)
    assert page is not None
    shown = signed_in(alice).get(page[0].replace("&amp;", "&")).content.decode()
    for figure in re.findall(r"(?:Opening|Closing) balance: (\S+)", text):
        assert f'<span class="stat-figure">{figure}</span>' in shown


def test_a_program_unsubscribes_with_one_click_and_the_reader_subscribes_again(
    account: Account, alice: User, signed_in: Callable[[User], Client]
) -> None:
    [message] = sent()
    found = re.fullmatch(r"<https?://[^/]+(/\S+)>", message.extra_headers["List-Unsubscribe"])
    assert found is not None and f"{found[1]}" in message.body
    assert message.extra_headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    outside = Client(enforce_csrf_checks=True)
    assert "Unsubscribe" in outside.get(found[1]).content.decode()
    assert monthly_emails.is_wanted(account.pk, alice.pk), "a program that follows links changes nothing"
    for _time in range(2):
        assert outside.post(found[1], {"List-Unsubscribe": "One-Click"}).status_code == 200
        assert not monthly_emails.is_wanted(account.pk, alice.pk)
    january = datetime(2027, 1, 2, 9, tzinfo=UTC)
    assert sent(january) == []
    link = monthly_emails.path_for(account.pk, alice.pk)
    assert f'href="{link}"' in signed_in(alice).get("/history/statement/").content.decode()
    outside.post(link, {"subscribe": "on"})
    StatementEmails.objects.update(month=None)
    [message] = sent(january)
    assert message.subject == "Refly: your statement of December 2026"
    assert "2026-12-31" in str(message.body), "the link to the statement of the whole month"
    for method in ("get", "post"):
        assert getattr(outside, method)(f"/statement-emails/{link.split('/')[2]}x/").status_code == 404


def test_nothing_is_sent_without_use_late_in_a_month_or_for_a_month_that_was_handled(
    account: Account, charlie: User, account_of: AccountOf
) -> None:
    give(account_of(charlie), "5", SECOND - timedelta(days=20))
    assert sent(SECOND.replace(day=9)) == []
    assert [message.to for message in sent()] == [["alice@example.org"]]
    assert StatementEmails.objects.count() == 2, "both accounts are handled"
    StatementEmails.objects.all().delete()
    User.objects.filter(email="alice@example.org").update(is_active=False)
    assert sent() == []
    User.objects.update(is_active=True)
    StatementEmails.objects.all().delete()
    Account.objects.filter(pk=account.pk).update(erased_at=SECOND)
    assert sent() == []
