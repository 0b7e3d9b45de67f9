"""Reports of incorrect charges: a member reports, staff answer and may return credits."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from accounts.models import Account, User
from billing import ledger
from billing.models import Charge, Correction
from billing.notifications import emails
from core.ids import public_id
from tests.usage.spending import give, spend
from usage.charges import reports
from usage.models import ChargeReport

AccountOf = Callable[[User], Account]
SignedIn = Callable[[User], Client]
ADMIN = "/admin/usage/chargereport/"


@pytest.fixture
def charged(alice: User, account_of: AccountOf) -> ledger.Charged:
    give(account_of(alice), "50", timezone.now())
    return spend(account_of(alice), "20", timezone.now())


@pytest.fixture
def page_of_charge(charged: ledger.Charged) -> str:
    return f"/charges/{public_id(prefix='chg', value=charged.charge_id)}/"


@pytest.fixture
def report(alice: User, signed_in: SignedIn, page_of_charge: str) -> ChargeReport:
    signed_in(alice).post(f"{page_of_charge}report/", {"reason": "The answer was empty.\nTwice."})
    return ChargeReport.objects.get()


def text_of(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def balance(account: Account) -> Decimal:
    return ledger.balance(account.pk, timezone.now()).available


@pytest.mark.requirement("FLICK-10")
def test_a_report_is_shown_as_open_until_it_is_answered(
    alice: User, signed_in: SignedIn, page_of_charge: str, report: ChargeReport
) -> None:
    page = text_of(signed_in(alice), page_of_charge)
    assert "The answer was empty. Twice." in page
    assert ">Open<" in page
    assert "<textarea" not in page  # at most one open report
    again = signed_in(alice).post(f"{page_of_charge}report/", {"reason": "Hello?"}, follow=True)
    assert "is being reviewed" in again.content.decode()
    assert ChargeReport.objects.count() == 1


@pytest.mark.requirement("FLICK-10", "CORE-07")
def test_staff_return_the_credits_and_the_user_is_informed_on_the_page_and_by_email(
    alice: User,
    staff: User,
    account_of: AccountOf,
    signed_in: SignedIn,
    page_of_charge: str,
    report: ChargeReport,
) -> None:
    before, admin = balance(account_of(alice)), signed_in(staff)
    assert "The answer was empty." in text_of(admin, ADMIN)
    form = {"answer": "The model had failed.", "return_credits": "all", "part": ""}
    assert admin.post(f"{ADMIN}{report.pk}/change/", form).status_code == 302
    assert balance(account_of(alice)) == before + 20
    page = text_of(signed_in(alice), page_of_charge)
    assert "Credits returned" in page and "The model had failed." in page and "+20" in page
    history = text_of(signed_in(alice), "/history/")
    assert "The model had failed." in history and ">Support<" in history and "user_" not in history
    emails.send_due(timezone.now())
    [email] = mail.outbox
    assert email.to == ["alice@example.org"]
    for words in ("The model had failed.", "We returned 20 credits", page_of_charge):
        assert words in email.body


@pytest.mark.requirement("FLICK-10")
def test_staff_return_some_credits_and_more_for_a_second_report(
    alice: User,
    staff: User,
    account_of: AccountOf,
    signed_in: SignedIn,
    page_of_charge: str,
    report: ChargeReport,
) -> None:
    before = balance(account_of(alice))
    form = {"answer": "Half of it was wrong.", "return_credits": "part", "part": "7.5"}
    signed_in(staff).post(f"{ADMIN}{report.pk}/change/", form)
    assert balance(account_of(alice)) == before + Decimal("7.5")
    signed_in(alice).post(f"{page_of_charge}report/", {"reason": "All of it was."})
    second = ChargeReport.objects.exclude(pk=report.pk).get()
    signed_in(staff).post(f"{ADMIN}{second.pk}/change/", form | {"part": "5"})
    assert balance(account_of(alice)) == before + Decimal("12.5")


@pytest.mark.requirement("FLICK-10")
def test_staff_answer_without_returning_credits(
    alice: User,
    staff: User,
    account_of: AccountOf,
    signed_in: SignedIn,
    page_of_charge: str,
    report: ChargeReport,
) -> None:
    before = balance(account_of(alice))
    form = {"answer": "This is its price.", "return_credits": "nothing", "part": ""}
    signed_in(staff).post(f"{ADMIN}{report.pk}/change/", form)
    assert balance(account_of(alice)) == before
    page = text_of(signed_in(alice), page_of_charge)
    assert "Answered" in page and "This is its price." in page
    emails.send_due(timezone.now())
    assert "No credits were returned." in mail.outbox[0].body
    signed_in(alice).post(f"{page_of_charge}report/", {"reason": "I disagree"})
    assert ChargeReport.objects.filter(status="open").count() == 1


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"answer": "", "return_credits": "all", "part": ""}, "Enter an answer"),
        ({"answer": "Yes", "return_credits": "part", "part": ""}, "is not a valid amount"),
        ({"answer": "Yes", "return_credits": "part", "part": "-3"}, "is not a valid amount"),
        ({"answer": "Yes", "return_credits": "all", "part": "3"}, "or leave this empty"),
    ],
)
def test_an_invalid_answer_is_not_saved(
    staff: User, signed_in: SignedIn, report: ChargeReport, form: dict[str, str], words: str
) -> None:
    response = signed_in(staff).post(f"{ADMIN}{report.pk}/change/", form)
    assert words in response.content.decode()
    report.refresh_from_db()
    assert report.status == "open"


def test_more_credits_than_the_charge_cannot_be_returned(
    alice: User, staff: User, account_of: AccountOf, signed_in: SignedIn, report: ChargeReport
) -> None:
    before = balance(account_of(alice))
    form = {"answer": "Yes", "return_credits": "part", "part": "20.5"}
    response = signed_in(staff).post(f"{ADMIN}{report.pk}/change/", form, follow=True)
    assert "20.5 credits cannot be returned. Left of the charge: 20." in response.content.decode()
    report.refresh_from_db()
    assert (report.status, balance(account_of(alice))) == ("open", before)


def test_a_report_is_answered_once(
    alice: User, staff: User, account_of: AccountOf, signed_in: SignedIn, report: ChargeReport
) -> None:
    before, admin = balance(account_of(alice)), signed_in(staff)
    reports.answer(report.pk, text="First.", by=staff, now=timezone.now())
    form = {"answer": "Second.", "return_credits": "all", "part": ""}
    assert admin.post(f"{ADMIN}{report.pk}/change/", form).status_code == 403
    report.refresh_from_db()
    assert (report.answer, balance(account_of(alice))) == ("First.", before)
    assert "First." in text_of(admin, f"{ADMIN}{report.pk}/change/")


def test_a_report_requires_a_reason(alice: User, signed_in: SignedIn, page_of_charge: str) -> None:
    for reason in ("", "   ", "x" * 2001):
        response = signed_in(alice).post(f"{page_of_charge}report/", {"reason": reason})
        assert response.status_code == 422
        assert '<details class="disclosure" id="report" open>' in response.content.decode()
    assert not ChargeReport.objects.exists()


@pytest.mark.fault("Z1")
def test_a_charge_of_another_account_cannot_be_reported(
    charlie: User, signed_in: SignedIn, page_of_charge: str
) -> None:
    response: Any = signed_in(charlie).post(f"{page_of_charge}report/", {"reason": "?"})
    assert response.status_code == 404
    assert not ChargeReport.objects.exists()


def test_the_answer_is_sent_once_to_owners_and_reporter_with_its_figures(
    team: Account, alice: User, bob: User, staff: User, clock: Any
) -> None:
    charged = spend(team, "20", timezone.now())
    charge = Charge.objects.get(pk=charged.charge_id)
    now = timezone.now()
    report = reports.open_report(charge, reason="It was empty.", reporter_id=bob.pk, now=now)
    clock.shift(60)
    later = timezone.now()
    answered = reports.answer(
        report.pk, text="x" * 600, by=staff, now=later, return_credits=True, credits=Decimal("7.5")
    )
    assert (answered.status, answered.answered_by, answered.answered_at) == ("returned", staff, later)
    correction = Correction.objects.get(charge_id=charge.pk)
    assert (correction.credits, correction.actor) == (Decimal("7.5"), staff.public_id)
    assert correction.reason == "x" * 500
    emails.send_due(later)
    assert sorted(to for email in mail.outbox for to in email.to) == ["alice@example.org", "bob@example.org"]
    for words in ("It was empty.", "x" * 600, "We returned 7.5 credits", "Claude Sonnet 4", charge.public_id):
        assert words in mail.outbox[0].body
    assert list(reports.of(charge)) == [report]
    clock.shift(60)
    second = reports.open_report(charge, reason="Again.", reporter_id=None, now=timezone.now())
    assert (list(reports.of(charge)), reports.newest(charge)) == ([second, report], second)
    other = Charge.objects.get(pk=spend(team, "1", timezone.now()).charge_id)
    assert (list(reports.of(other)), reports.newest(other)) == ([], None)
    third = reports.open_report(other, reason="This too.", reporter_id=alice.pk, now=timezone.now())
    assert third.is_open, "another charge of the account may be reported meanwhile"


def test_staff_see_open_reports_first_then_the_newest_with_a_short_reason(
    alice: User, staff: User, account_of: AccountOf, signed_in: SignedIn, clock: Any
) -> None:
    made = []
    for number in range(4):
        charge = Charge.objects.get(pk=spend(account_of(alice), "2", timezone.now()).charge_id)
        reason = f"{number}" * (79 + number)
        made.append(reports.open_report(charge, reason=reason, reporter_id=alice.pk, now=timezone.now()))
        clock.shift(60)
    reports.answer(made[3].pk, text="No.", by=staff, now=timezone.now())
    reports.answer(made[1].pk, text="Yes.", by=staff, now=timezone.now(), return_credits=True)
    admin = signed_in(staff)
    listed = admin.get(ADMIN)
    assert [report.pk for report in listed.context["cl"].result_list] == [
        made[number].pk for number in (2, 0, 3, 1)
    ]
    page = listed.content.decode()
    assert "0" * 79 in page and "1" * 80 in page and "2" * 79 + "…" in page and "2" * 80 not in page
    shown = text_of(admin, f"{ADMIN}{made[1].pk}/change/")
    assert "2 credits, 2 returned" in shown and "return_credits" not in shown
    assert "2 credits, 0 returned" in text_of(admin, f"{ADMIN}{made[0].pk}/change/")
    assert admin.get(f"{ADMIN}add/").status_code == 403
    assert admin.post(f"{ADMIN}{made[0].pk}/delete/", {"post": "yes"}).status_code == 403
    found = admin.get(f"{ADMIN}?status__exact=returned").context["cl"].result_list
    assert [report.pk for report in found] == [made[1].pk]
