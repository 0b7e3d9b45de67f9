"""Pages of a session: the zone of the selected account, and the choices that are sent without a form."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from accounts import addresses, registration
from accounts.models import Account, User, VerifiedAddress
from billing import ledger
from billing.models import Subscription
from billing.views import plans
from tests.conftest import PASSWORD
from tests.usage.spending import spend


@pytest.mark.parametrize(
    ("zone", "day", "hour"),
    [
        ("UTC", "20 Nov", "11:30"),
        ("Asia/Tokyo", "20 Nov", "20:30"),
        ("Pacific/Kiritimati", "21 Nov", "01:30"),
    ],
)
def test_pages_show_times_in_the_zone_of_the_selected_account(
    clock: Any,
    team: Account,
    bob: User,
    signed_in: Callable[[User], Client],
    zone: str,
    day: str,
    hour: str,
) -> None:
    Account.objects.filter(pk=team.pk).update(zone=zone)
    charged = spend(team, "1", datetime(2026, 11, 20, 11, 30, tzinfo=UTC))
    browser = signed_in(bob)
    browser.post(f"/switch/{team.public_id}/")
    page = browser.get(f"/charges/chg_{charged.charge_id.hex}/").content.decode()
    assert f"{day}, {hour}" in " ".join(page.split())
    assert timezone.get_current_timezone_name() == "UTC"  # the page's zone ends with the request


@pytest.mark.requirement("FLICK-03")
def test_signing_in_confirms_only_addresses_that_were_verified(db: None) -> None:
    call_command("load_catalogue", "codeflicker", verbosity=0)
    dora = User.objects.create_user("dora@example.org", PASSWORD)
    account = registration.open_personal_account(dora, timezone.now())
    EmailAddress.objects.create(user=dora, email=dora.email, verified=True, primary=True)
    EmailAddress.objects.create(user=dora, email="new@example.org", verified=False, primary=False)
    Client().post("/accounts/login/", {"login": dora.email, "password": PASSWORD})
    assert ledger.balance(account.pk, timezone.now()).available
    assert VerifiedAddress.objects.count() == 1
    assert not addresses.claim_once(dora.email, VerifiedAddress.objects.get().purpose, timezone.now())


def test_a_claim_has_its_time_and_its_purpose(db: None) -> None:
    now = timezone.now()
    addresses.claim_once('"a@b"@Example.org', "gift", now)
    claim = VerifiedAddress.objects.get()
    assert (claim.purpose, claim.first_seen_at) == ("gift", now)
    assert addresses.canonical('"a@b"@Example.org') == '"a@b"@example.org'


def test_a_personal_account_has_its_users_name_and_kind(catalogue: None) -> None:
    now = timezone.now()
    dora = User.objects.create_user("dora@example.org", None, first_name="Dora", last_name="Maar")
    account = registration.open_personal_account(dora, now)
    stored = Account.objects.get(pk=account.pk)
    assert (stored.name, stored.kind, stored.created_at) == ("Dora Maar", "personal", now)
    assert stored.memberships.get().created_at == now
    User.objects.filter(pk=dora.pk).update(first_name="Another")
    dora.refresh_from_db()
    assert registration.open_personal_account(dora, now).name == "Dora Maar"


@pytest.mark.parametrize(
    ("feedback", "comment", "stored"),
    [
        ("unused", "too far away", ("unused", "too far away")),
        ("nonsense", "", ("", "")),
        ("", "a\0b", ("", "ab")),
        ("other", "x" * 501, ("other", "x" * 500)),
    ],
)
def test_a_cancellation_keeps_a_listed_reason_and_a_short_comment(
    team: Account,
    alice: User,
    signed_in: Callable[[User], Client],
    monkeypatch: pytest.MonkeyPatch,
    feedback: str,
    comment: str,
    stored: tuple[str, str],
) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(plans.changes, "cancel", lambda account, now, **given: asked.update(given))
    signed_in(alice).post("/billing/subscription/cancel/", {"feedback": feedback, "comment": comment})
    assert (asked["feedback"], asked["comment"]) == stored
    assert Subscription.objects.filter(cancel_at_period_end=True).count() == 0


@pytest.mark.parametrize(
    ("months", "number"), [("1", 1), ("12", 12), ("", 0), ("-1", 0), ("1.5", 0), ("100", 0), ("１", 0)]
)
def test_a_pause_is_asked_for_a_whole_number_of_months(
    team: Account,
    alice: User,
    signed_in: Callable[[User], Client],
    monkeypatch: pytest.MonkeyPatch,
    months: str,
    number: int,
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(plans.pauses, "pause", lambda account, count, now: asked.append(count))
    signed_in(alice).post("/billing/subscription/pause/", {"months": months})
    assert asked == [number]
