"""Staff answer requests for team accounts: in which order they see them, and what an answer needs."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Account, TeamRequest, User

pytestmark = pytest.mark.usefixtures("catalogue")
LIST = "/admin/accounts/teamrequest/"


def shown(page: Any) -> list[str]:
    return [asked.name for asked in page.context["cl"].result_list]


def test_open_requests_are_listed_first_and_an_approval_needs_no_words(
    alice: User, bob: User, staff: User, signed_in: Callable[[User], Client]
) -> None:
    now, browser = timezone.now(), signed_in(staff)
    Account.objects.filter(person=alice).update(zone="Asia/Tokyo")
    for days, user, name, status in (
        (3, alice, "Older", "open"),
        (2, bob, "Newer", "open"),
        (1, bob, "Newest", "declined"),
    ):
        TeamRequest.objects.create(
            user=user, kind="family", name=name, status=status, created_at=now - timedelta(days)
        )
    assert shown(browser.get(LIST)) == ["Newer", "Older", "Newest"]
    asked = TeamRequest.objects.get(name="Older")
    assert browser.post(f"{LIST}{asked.pk}/change/", {"decision": "approve", "answer": ""}).status_code == 302
    asked.refresh_from_db()
    assert (asked.status, asked.answer, asked.answered_by) == ("approved", "", staff)
    assert asked.account is not None and asked.account.zone == "Asia/Tokyo", "that of the person"
    assert shown(browser.get(LIST)) == ["Newer", "Newest", "Older"]
