"""An additional address of alerts gets none until somebody who reads it has agreed."""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.core import mail, signing
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing import tasks
from billing.models import AlertSettings, Mail
from billing.notifications import alert_addresses, emails, low_credit_alerts

OPS = "ops@example.org"
Use = Callable[[str], None]


def save(account: Account, *addresses: str) -> AlertSettings:
    return low_credit_alerts.save_settings(
        account_id=account.pk, enabled=True, below=Decimal(50), by_email=True,
        extra_addresses=list(addresses), now=timezone.now(),
    )  # fmt: skip


def link_sent_to(address: str) -> str:
    """The path of the link in the newest e-mail that asks the address."""
    emails.send_due(timezone.now())
    newest = [message for message in mail.outbox if message.to == [address]][-1]
    match = re.search(r"https?://[^/]+(/billing/alerts/confirm/\S+)", str(newest.body))
    assert match, newest.body
    return match[1]


def test_an_address_that_has_not_been_confirmed_gets_no_alert(account: Account, use: Use) -> None:
    save(account, OPS)
    link_sent_to(OPS)
    use("60")
    tasks.queue_notices()
    tasks.send_emails()
    assert [message.to for message in mail.outbox] == [[OPS], ["alice@example.org"]]


def test_an_address_gets_alerts_after_it_was_confirmed(account: Account, use: Use) -> None:
    save(account, OPS)
    link = link_sent_to(OPS)
    reader = Client()
    asked = reader.get(link)
    assert (asked.status_code, f"to {OPS}?" in asked.content.decode()) == (200, True)
    assert AlertSettings.objects.get().confirmed_addresses == [], "opening the link confirms nothing"
    for _ in range(2):
        assert f"now sent to {OPS}" in reader.post(link).content.decode()
    assert AlertSettings.objects.get().confirmed_addresses == [OPS]

    save(account)
    assert f"{OPS} was removed" in reader.post(link).content.decode()
    save(account, OPS)
    use("60")
    tasks.queue_notices()
    tasks.send_emails()
    assert mail.outbox[-1].to == ["alice@example.org", OPS]


def test_an_address_is_asked_once_a_month_and_the_e_mail_has_no_text_of_the_account(
    account: Account, clock: Any
) -> None:
    Account.objects.filter(pk=account.pk).update(name="Buy pills at evil.example")
    for addresses in ([OPS], [], [OPS]):
        save(account, *addresses)
        clock.shift(86400)
    asked = Mail.objects.filter(template=alert_addresses.TEMPLATE)
    assert [one.recipients for one in asked] == [[OPS]]
    link_sent_to(OPS)
    assert "evil" not in str(mail.outbox[-1].body) + mail.outbox[-1].subject
    clock.shift(31 * 86400)
    save(account, OPS)
    assert asked.all().count() == 2


def test_a_member_needs_no_confirmation(team: Account, bob: User) -> None:
    settings = save(team, bob.email, OPS)
    assert alert_addresses.split(settings) == ([bob.email], [OPS])
    assert [one.recipients for one in Mail.objects.all()] == [[OPS]]
    User.objects.filter(pk=bob.pk).update(is_active=False)
    assert alert_addresses.split(settings) == ([], [bob.email, OPS])


def test_an_address_is_asked_by_each_account_that_names_it(
    account: Account, bob: User, account_of: Callable[[User], Account]
) -> None:
    for one in (account, account_of(bob)):
        save(one, OPS)
    asked = Mail.objects.filter(template=alert_addresses.TEMPLATE)
    assert {mail.account_id for mail in asked} == {account.pk, account_of(bob).pk}


def test_an_address_from_before_is_asked_at_the_next_alert(account: Account, use: Use) -> None:
    save(account)
    AlertSettings.objects.update(extra_addresses=[OPS])
    use("60")
    tasks.queue_notices()
    tasks.send_emails()
    assert sorted(tuple(one.recipients) for one in Mail.objects.all()) == [("alice@example.org",), (OPS,)]


def test_an_account_asks_few_addresses_a_day(
    account: Account, alice: User, bob: User, account_of: Any, signed_in: Any, api_of: Any, clock: Any
) -> None:
    save(account_of(bob), "by-another-account@example.org")
    facts = {"account_id": account.pk, "context": {}, "now": timezone.now()}
    emails.queue(template="credits_low", key="about something else", only_to="boss@example.org", **facts)
    for number in range(20):
        save(account, f"{number}@example.org")
    with pytest.raises(alert_addresses.TooManyAddresses):
        save(account, OPS)
    form = {"enabled": "on", "below": "50", "by_email": "on", "extra_addresses": OPS}
    page = signed_in(alice).post("/billing/alerts/", form)
    assert (page.status_code, "many addresses today" in page.content.decode()) == (422, True)
    body = {"enabled": True, "below": "50", "extra_addresses": [OPS]}
    refused = api_of(alice).put("alerts", body)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_addresses")
    assert AlertSettings.objects.get(pk=account.pk).extra_addresses == ["19@example.org"]
    clock.shift(86400)
    save(account, OPS)


@pytest.mark.fault("Z1")
def test_a_forged_link_is_not_found(account: Account) -> None:
    save(account, OPS)
    forged = signing.dumps([account.pk.hex, OPS], salt="other")
    for token in (forged, "x", link_sent_to(OPS).rstrip("/").rpartition("/")[2][:-1]):
        for method in ("get", "post"):
            assert getattr(Client(), method)(f"/billing/alerts/confirm/{token}/").status_code == 404
    assert AlertSettings.objects.get().confirmed_addresses == []


def test_the_page_names_the_addresses_that_are_not_confirmed(
    account: Account, alice: User, signed_in: Callable[[User], Client]
) -> None:
    save(account, OPS, "dev@example.org")
    alert_addresses.confirm(account.pk, "dev@example.org")
    assert f"Not confirmed: {OPS}." in signed_in(alice).get("/billing/alerts/").content.decode()
