"""Records that nothing needs any more are deleted after the stated time, and no others."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.sessions.models import Session
from django.test import Client

from accounts.models import User
from billing.models import Mail, StripeEvent
from config import retention
from config.celery import purge
from core.models import KeptAnswer, Lease, RateWindow

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
NOBODY = "00000000-0000-0000-0000-000000000000"
DAY, INSTANT = timedelta(days=1), timedelta(microseconds=1)

pytestmark = pytest.mark.django_db


def mail(key: str, sent_at: datetime | None) -> None:
    Mail.objects.create(key=key, template="credits_low", created_at=NOW - 900 * DAY, sent_at=sent_at)


def event(key: str, state: str, received_at: datetime) -> None:
    StripeEvent.objects.create(
        stripe_id=key, type="x", happened_at=received_at, received_at=received_at, payload={}, state=state
    )


def answer(key: str, created_at: datetime) -> None:
    KeptAnswer.objects.create(
        owner=NOBODY, endpoint="/", key=key, fingerprint=b"", status=201,
        body="", created_at=created_at,
    )  # fmt: skip


def test_only_what_is_handled_and_old_enough_is_deleted(settings: Any) -> None:
    settings.KEEP_MAIL_DAYS, settings.KEEP_EVENTS_DAYS, settings.KEEP_ANSWERS_DAYS = 90, 70, 0
    mail("sent long ago", NOW - 90 * DAY - INSTANT)
    mail("sent lately", NOW - 90 * DAY)
    mail("waits", None)
    old = NOW - 70 * DAY - INSTANT
    for state in StripeEvent.State.values:
        event(f"{state} long ago", state, old)
        event(f"{state} lately", state, old + INSTANT)
    answer("old", NOW - 5000 * DAY)
    RateWindow.objects.create(identity="old", window_start=int((NOW - retention.WINDOWS).timestamp()) - 1)
    RateWindow.objects.create(identity="new", window_start=int((NOW - retention.WINDOWS).timestamp()))
    for number, expires_at in enumerate([NOW - DAY - INSTANT, NOW]):
        Lease.objects.create(id=number, holder=NOBODY, expires_at=expires_at)

    assert retention.purge(NOW) == {
        "sessions": 0, "e-mails": 1, "events": 2, "rate windows": 1, "refused calls": 0, "leases": 1,
        "browsers": 0,
    }  # fmt: skip
    assert set(Mail.objects.values_list("key", flat=True)) == {"sent lately", "waits"}
    gone = {"done long ago", "ignored long ago"}
    assert not gone & set(StripeEvent.objects.values_list("stripe_id", flat=True))
    assert KeptAnswer.objects.get().key == "old", "an idempotency key holds for good"
    settings.KEEP_ANSWERS_DAYS = 365
    answer("new", NOW - 365 * DAY)
    assert retention.purge(NOW)["answers"] == 1
    assert KeptAnswer.objects.get().key == "new"


def test_an_ended_session_is_deleted_with_the_record_of_its_browser(alice: User, bob: User) -> None:
    for user in (alice, bob):
        Client().force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    first, second = Session.objects.order_by("expire_date")
    for user, session in ((alice, first), (bob, second)):
        UserSession.objects.create(user=user, ip="127.0.0.1", session_key=session.session_key, data={})
    at = first.expire_date + INSTANT
    Session.objects.filter(pk=second.pk).update(expire_date=at)
    assert (retention.purge(at)["sessions"], UserSession.objects.get().user) == (1, bob)


def test_many_rows_are_deleted_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "PORTION", 2)
    for number in range(5):
        mail(f"{number}", NOW - 5000 * DAY)
    assert retention.purge(NOW)["e-mails"] == 5
    assert not Mail.objects.exists()


def test_it_runs_once_a_day_and_is_asked_for_often(monkeypatch: pytest.MonkeyPatch, clock: Any) -> None:
    runs: list[datetime] = []
    monkeypatch.setattr(retention, "purge", runs.append)
    for _ in range(3):
        purge()
    clock.shift(DAY)
    purge()
    assert len(runs) == 2
    assert settings.CELERY_BEAT_SCHEDULE["purge"]["schedule"] <= 600


def test_no_work_depends_on_a_beat_that_runs_for_long() -> None:
    """Beat counts intervals from its own start, so that a longer one may never end."""
    seconds = {name: one["schedule"] for name, one in settings.CELERY_BEAT_SCHEDULE.items()}
    assert len(seconds) > 10 and max(seconds.values()) <= 600
