"""Events: one for each fact that was committed and chosen, for the endpoints that may know of it."""

from typing import Any

import pytest
from django.db import transaction

from accounts import memberships
from accounts.models import Account, WebhookDelivery, WebhookEvent
from accounts.webhook_endpoints import deliveries, endpoints, events
from tests.accounts.webhook_endpoints.conftest import (
    NOON,
    happen,
    new_endpoint,
)

pytestmark = pytest.mark.django_db


def test_nothing_is_written_where_no_endpoint_has_chosen_the_type(account: Account, team: Account) -> None:
    new_endpoint(team)
    new_endpoint(account, events=["purchase.failed"])
    disabled = new_endpoint(account)
    endpoints.change(disabled, enabled=False, now=NOON)
    happen(account, "a")
    assert not WebhookEvent.objects.exists()


def test_a_fact_has_one_event_however_often_it_is_recorded(account: Account, team: Account) -> None:
    new_endpoint(None)
    for _ in range(3):
        happen(account, "a")
    happen(team, "a")
    assert WebhookEvent.objects.count() == 2


def test_a_fact_that_is_rolled_back_has_no_event(account: Account) -> None:
    new_endpoint(account)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        happen(account, "a")
        1 / 0  # noqa: B018
    assert not WebhookEvent.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_an_event_is_recorded_in_a_transaction_only(account: Account) -> None:
    with pytest.raises(AssertionError):
        events.record(account_id=account.pk, type=events.Type.PURCHASE_PAID, fact="a", data={}, now=NOON)


def test_the_body_names_the_account_by_both_ids(account: Account) -> None:
    Account.objects.filter(pk=account.pk).update(external_id="user-7")
    new_endpoint(account)
    happen(account, "a")
    deliveries.fan_out(NOON)
    claimed = deliveries.claim(NOON)
    assert claimed is not None
    assert claimed.body == (
        '{"type":"purchase.paid","timestamp":"2026-03-10T12:00:00Z",'
        f'"data":{{"fact":"a","account":{{"id":"{account.public_id}","external_id":"user-7"}}}}}}'
    )


def test_members_are_facts(team: Account, charlie: Any) -> None:
    new_endpoint(team)
    member = memberships.add(account=team, user=charlie, role="member", now=NOON)
    memberships.remove(member, NOON)
    found = WebhookEvent.objects.order_by("pk")
    assert [event.type for event in found] == ["member.added", "member.removed"]
    assert found[0].data["member"] == {
        "id": member.public_id,
        "user": charlie.public_id,
        "email": charlie.email,
        "role": "member",
    }


def test_an_account_gets_its_own_events_and_the_platform_all(account: Account, team: Account) -> None:
    new_endpoint(account, "https://own.example.com/")
    new_endpoint(None, "https://platform.example.com/")
    new_endpoint(None, "https://chosen.example.com/", events=["member.added"])
    happen(account, "a")
    happen(team, "b")
    deliveries.fan_out(NOON)
    got = WebhookDelivery.objects.order_by("event_id", "endpoint__url")
    assert list(got.values_list("event__fact", "endpoint__url")) == [
        ("a", "https://own.example.com/"),
        ("a", "https://platform.example.com/"),
        ("b", "https://platform.example.com/"),
    ]
    assert deliveries.fan_out(NOON) == 0
