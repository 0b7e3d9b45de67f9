"""The tasks of usage: each does its work at the time of the clock, once a day where that is enough."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account
from usage import monthly_emails, tasks
from usage.forecast import price_notices
from usage.history import exports
from usage.history.pages import Filter
from usage.models import Export
from usage.sums import folding


@pytest.mark.django_db
def test_exports_are_written_and_deleted_when_they_have_expired(clock: Any, catalogue: None) -> None:
    account = Account.objects.create(name="A")
    export = exports.request(account, None, Filter(), timezone.now())
    tasks.write_exports()
    export.refresh_from_db()
    assert export.state == Export.State.READY
    clock.shift(exports.KEPT)
    tasks.write_exports()
    assert not Export.objects.exists()


@pytest.mark.django_db
def test_sums_are_made_each_time_and_checked_once_a_day(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(folding, "fold_due", lambda: calls.append("made"))
    monkeypatch.setattr(folding, "check_all", lambda: calls.append("checked"))
    for _time in range(2):
        tasks.sum_usage()
        tasks.check_sums()
    assert calls == ["made", "checked", "made"]
    clock.shift(timedelta(days=1))
    tasks.check_sums()
    assert calls[3:] == ["checked"]


def test_e_mails_are_queued_for_the_month_and_for_announced_prices(
    clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(monthly_emails, "queue_due", lambda now: calls.append(("month", now)))
    monkeypatch.setattr(price_notices, "queue_due", lambda now: calls.append(("prices", now)))
    tasks.queue_usage_emails()
    assert calls == [("month", timezone.now()), ("prices", timezone.now())]
