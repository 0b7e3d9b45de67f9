"""Deliveries: order, retries, claims, disabling, redelivery and purge, with answers that the tests say."""

import datetime as dt
import itertools
from typing import Any

import pytest
from django.db import transaction
from standardwebhooks import Webhook

from accounts import encryption, memberships
from accounts.models import Account, WebhookDelivery, WebhookEndpoint, WebhookEvent
from accounts.webhook_endpoints import deliveries, endpoints, events, targets
from accounts.webhook_endpoints.exchange import Answer
from billing.models import Mail
from tests.accounts.webhook_endpoints.conftest import (
    DAY,
    FAILS,
    GONE,
    MINUTE,
    NOON,
    OK,
    fact_of,
    happen,
    new_endpoint,
    send_all,
)

pytestmark = pytest.mark.django_db


def again(endpoint: WebhookEndpoint) -> WebhookEndpoint:
    return WebhookEndpoint.objects.get(pk=endpoint.pk)


def statuses() -> list[str]:
    return list(WebhookDelivery.objects.order_by("event_id", "id").values_list("status", flat=True))


# Events


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


# Who gets what


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


# Order


def test_the_events_of_an_account_arrive_in_order(account: Account) -> None:
    new_endpoint(account)
    for fact in "abc":
        happen(account, fact)
    assert send_all(NOON) == ["a", "b", "c"]
    happen(account, "d")
    assert send_all(NOON + MINUTE) == ["d"]
    assert statuses() == ["delivered"] * 4


def test_a_failed_event_delays_those_of_its_account_only(account: Account, team: Account) -> None:
    new_endpoint(None)
    for fact in "abc":
        happen(account, fact)
        happen(team, f"team {fact}")

    def answer(fact: str) -> Answer:
        return FAILS if fact == "a" else OK

    assert send_all(NOON, answer) == ["a", "team a", "team b", "team c"]
    assert send_all(NOON + MINUTE) == ["a", "b", "c"]


def test_what_happens_while_the_first_is_under_way_waits(account: Account) -> None:
    new_endpoint(account)
    happen(account, "a")
    deliveries.fan_out(NOON)
    claimed = deliveries.claim(NOON)
    assert claimed is not None
    happen(account, "b")
    deliveries.fan_out(NOON)
    assert deliveries.claim(NOON) is None
    deliveries.finish(claimed, OK, NOON)
    assert send_all(NOON) == ["b"]


# Claims


def test_a_claim_that_nobody_finishes_ends(account: Account) -> None:
    new_endpoint(account)
    happen(account, "a")
    deliveries.fan_out(NOON)
    killed = deliveries.claim(NOON)
    assert killed is not None
    assert deliveries.claim(NOON + deliveries.LEASE / 2) is None
    second = deliveries.claim(NOON + deliveries.LEASE)
    assert second is not None
    assert (second.delivery_id, second.event_id) == (killed.delivery_id, killed.event_id)
    deliveries.finish(killed, FAILS, NOON + deliveries.LEASE)  # it was only slow: its answer is too late
    deliveries.finish(second, OK, NOON + deliveries.LEASE)
    [delivery] = WebhookDelivery.objects.all()
    assert (delivery.status, delivery.attempts) == ("delivered", 2)


def test_an_endpoint_gets_a_few_requests_at_once(account: Account) -> None:
    accounts = [Account.objects.create(name=str(number)) for number in range(6)]
    new_endpoint(None)
    for one in accounts:
        happen(one, one.name)
    deliveries.fan_out(NOON)
    claimed = [deliveries.claim(NOON) for _ in range(6)]
    assert [one is not None for one in claimed] == [True] * 4 + [False] * 2
    assert claimed[0] is not None
    deliveries.finish(claimed[0], OK, NOON)
    assert deliveries.claim(NOON) is not None
    assert deliveries.claim(NOON) is None


def test_the_endpoint_that_has_waited_longest_is_next(account: Account, team: Account) -> None:
    for one in (account, team):
        new_endpoint(one, f"https://hooks.example.com/{one.pk}")
    for fact in "ab":
        happen(account, fact)
        happen(team, f"team {fact}")
    deliveries.fan_out(NOON)
    first, second = deliveries.claim(NOON), deliveries.claim(NOON)
    assert first is not None and second is not None
    assert {fact_of(first), fact_of(second)} == {"a", "team a"}


def test_an_endpoint_that_is_down_gets_one_request_at_a_time_with_rests(account: Account) -> None:
    accounts = [Account.objects.create(name=str(number)) for number in range(8)]
    endpoint = new_endpoint(None)
    for one in accounts:
        happen(one, one.name)
    deliveries.fan_out(NOON)
    slow = Answer(error="timed out", seconds=15)
    for _ in range(deliveries.DOWN_AFTER):
        claimed = deliveries.claim(NOON)
        assert claimed is not None
        deliveries.finish(claimed, slow, NOON)
    assert deliveries.claim(NOON) is None
    assert again(endpoint).next_at == NOON + 5 * MINUTE
    happen(account, "later")
    deliveries.fan_out(NOON)
    assert deliveries.claim(NOON + 4 * MINUTE) is None  # what is new does not end the rest
    after = NOON + 5 * MINUTE
    claimed = deliveries.claim(after)
    assert claimed is not None and deliveries.claim(after) is None
    deliveries.finish(claimed, OK, after)
    assert deliveries.claim(after) is not None and deliveries.claim(after) is not None


# Retries


def test_retries_follow_the_schedule_for_three_days(account: Account) -> None:
    new_endpoint(account)
    happen(account, "a")
    happen(account, "b")
    now, waits = NOON, []
    deliveries.fan_out(now)
    for _ in range(len(deliveries.WAITS)):
        assert send_all(now, FAILS) == ["a"]
        delivery = WebhookDelivery.objects.get(event__fact="a")
        assert delivery.due_at is not None
        waits.append(delivery.due_at - now)
        now = delivery.due_at
    for wait, planned in zip(waits, deliveries.WAITS, strict=True):
        assert planned <= wait <= planned * 1.1
    assert sum(deliveries.WAITS, dt.timedelta()) == dt.timedelta(hours=75, minutes=35, seconds=5)
    assert again(WebhookEndpoint.objects.get()).disabled_at is None
    assert send_all(now, FAILS) == ["a"]  # the last attempt
    assert statuses() == ["failed", "pending"]


def test_waits_differ_between_deliveries() -> None:
    waits = {deliveries._wait(3, None) for _ in range(20)}
    assert len(waits) > 10


def test_the_receiver_may_ask_for_a_longer_wait_but_not_for_a_shorter_one() -> None:
    assert deliveries._wait(1, 600) == 10 * MINUTE
    assert deliveries._wait(3, 1) >= 30 * MINUTE
    assert deliveries._wait(1, 10**9) == DAY


# Disabling


def mails() -> list[Any]:
    return list(Mail.objects.filter(template="webhook_disabled"))


def test_410_disables_the_endpoint(account: Account, alice: Any) -> None:
    endpoint = new_endpoint(account)
    happen(account, "a")
    assert send_all(NOON, GONE) == ["a"]
    endpoint = again(endpoint)
    assert (endpoint.disabled_at, endpoint.disabled_reason) == (NOON, "gone")
    [mail] = mails()
    assert (mail.recipients, mail.context) == ([alice.email], {"url": endpoint.url, "reason": "gone"})
    happen(account, "b")
    assert send_all(NOON + DAY) == []
    assert WebhookEvent.objects.count() == 1


def test_three_days_without_a_success_disable_the_endpoint(account: Account) -> None:
    endpoint = new_endpoint(account)
    happen(account, "a")
    now = NOON
    while not again(endpoint).disabled_at:
        assert now - NOON < 4 * DAY
        send_all(now, FAILS)
        now += dt.timedelta(hours=1)
    assert again(endpoint).disabled_reason == "failing"
    assert now - NOON > 3 * DAY
    assert len(mails()) == 1


def test_a_success_begins_the_three_days_anew(account: Account, team: Account) -> None:
    endpoint = new_endpoint(None)
    happen(account, "bad")
    for hour in range(0, 120, 2):
        happen(team, f"good {hour}")
        send_all(NOON + dt.timedelta(hours=hour), lambda fact: OK if fact.startswith("good") else FAILS)
    assert again(endpoint).disabled_at is None
    assert WebhookDelivery.objects.get(event__fact="bad").status == "failed"


def test_staff_are_told_of_an_endpoint_of_the_platform(account: Account, staff: Any) -> None:
    new_endpoint(None)
    happen(account, "a")
    send_all(NOON, GONE)
    [mail] = mails()
    assert (mail.recipients, mail.account_id) == ([staff.email], None)


def test_an_endpoint_that_is_enabled_again_gets_what_was_pending_in_order(account: Account) -> None:
    endpoint = new_endpoint(account)
    for fact in "abc":
        happen(account, fact)
    send_all(NOON, GONE)
    later = NOON + 2 * DAY
    WebhookEvent.objects.filter(fact="a").delete()  # as by the purge
    endpoints.change(again(endpoint), enabled=True, now=later)
    assert send_all(later) == ["b", "c"]
    endpoint = again(endpoint)
    assert (endpoint.disabled_at, endpoint.disabled_reason, endpoint.failures) == (None, "", 0)


def test_another_url_ends_the_rest(account: Account) -> None:
    endpoint = new_endpoint(account)
    happen(account, "a")
    for minutes in (0, 1, 10):
        send_all(NOON + minutes * MINUTE, Answer(error="timed out", seconds=15))
    now = NOON + 11 * MINUTE
    assert send_all(now) == []
    endpoints.change(again(endpoint), url="https://other.example.com/", now=now)
    assert send_all(now) == ["a"]


def test_a_deleted_endpoint_gets_nothing_more(account: Account) -> None:
    endpoint = new_endpoint(account)
    happen(account, "a")
    deliveries.fan_out(NOON)
    claimed = deliveries.claim(NOON)
    assert claimed is not None
    endpoints.delete(endpoint)
    deliveries.finish(claimed, OK, NOON)
    assert deliveries.claim(NOON) is None
    assert not WebhookDelivery.objects.exists()


# Secrets


def test_the_secret_is_stored_encrypted_and_has_the_standard_form(account: Account) -> None:
    issued = endpoints.create(
        account=account, url="https://a.example.com/", events=["member.added"], description="", now=NOON
    )
    assert Webhook(issued.secret)  # whsec_ and base64
    assert issued.secret.startswith("whsec_")
    assert issued.secret.encode() not in bytes(issued.endpoint.secret)
    assert encryption.decrypt(again(issued.endpoint).secret) == issued.secret


def test_after_a_rotation_both_secrets_sign_for_a_day(account: Account) -> None:
    first = endpoints.create(
        account=account, url="https://a.example.com/", events=["member.added"], description="", now=NOON
    )
    second = endpoints.rotate_secret(first.endpoint, NOON)
    endpoint = again(first.endpoint)
    assert endpoints.secrets_of(endpoint, NOON + DAY / 2) == [second.secret, first.secret]
    assert endpoints.secrets_of(endpoint, NOON + DAY) == [second.secret]
    third = endpoints.rotate_secret(endpoint, NOON + DAY / 2)
    assert endpoints.secrets_of(again(endpoint), NOON + DAY) == [third.secret, second.secret]


def test_an_account_has_at_most_ten_endpoints(account: Account, team: Account) -> None:
    for number in range(endpoints.MOST_ENDPOINTS):
        new_endpoint(account, f"https://hooks.example.com/{number}")
    with pytest.raises(endpoints.TooManyEndpoints):
        new_endpoint(account)
    new_endpoint(team)
    new_endpoint(None)


def test_a_url_is_checked_when_it_is_set(account: Account, settings: Any) -> None:
    settings.WEBHOOK_PRIVATE_ADDRESSES = "platform"
    with pytest.raises(targets.UrlRefused):
        new_endpoint(account, "https://127.0.0.1/")
    with pytest.raises(targets.UrlRefused):
        endpoints.change(new_endpoint(account), url="http://hooks.example.com/", now=NOON)
    new_endpoint(None, "http://127.0.0.1:8080/")


# Tests and redeliveries


def test_a_test_event_is_sent_whatever_waits(account: Account) -> None:
    endpoint = new_endpoint(account, events=["member.added"])
    happen(account, "a", "member.added")
    send_all(NOON, FAILS)
    deliveries.send_test(endpoint, NOON)
    deliveries.fan_out(NOON)
    claimed = deliveries.claim(NOON)
    assert claimed is not None
    assert claimed.body == (
        '{"type":"endpoint.test","timestamp":"2026-03-10T12:00:00Z","data":{"account":{"id":'
        f'"{account.public_id}","external_id":null}},"endpoint":"{endpoint.public_id}"}}}}'
    )


def test_a_redelivery_has_the_id_of_the_event(account: Account) -> None:
    new_endpoint(account)
    happen(account, "a")
    happen(account, "b")
    send_all(NOON)
    [first, _second] = WebhookDelivery.objects.order_by("event_id")
    redelivered = deliveries.redeliver(first, NOON + MINUTE)
    assert redelivered.pk != first.pk
    claimed = deliveries.claim(NOON + MINUTE)
    assert claimed is not None
    assert (claimed.event_id, fact_of(claimed)) == (first.event.public_id, "a")
    with pytest.raises(deliveries.DeliveryPending):
        deliveries.redeliver(redelivered, NOON)
    deliveries.finish(claimed, OK, NOON + MINUTE)
    assert statuses() == ["delivered"] * 3


def test_a_disabled_endpoint_takes_no_requested_delivery(account: Account) -> None:
    endpoint = new_endpoint(account)
    endpoints.change(endpoint, enabled=False, now=NOON)
    with pytest.raises(deliveries.EndpointDisabled):
        deliveries.send_test(endpoint, NOON)


def test_requested_deliveries_are_few(account: Account) -> None:
    endpoint = new_endpoint(account)
    for _ in range(deliveries.MOST_UNORDERED):
        deliveries.send_test(endpoint, NOON)
    with pytest.raises(deliveries.TooManyRequested):
        deliveries.send_test(endpoint, NOON)
    send_all(NOON)
    deliveries.send_test(endpoint, NOON)


# Purge


def test_old_events_are_purged_with_their_deliveries(account: Account, team: Account) -> None:
    new_endpoint(account)
    failing = new_endpoint(team)
    happen(account, "old")
    happen(account, "newer", now=NOON + DAY)
    happen(team, "still pending")
    send_all(NOON, lambda fact: FAILS if fact == "still pending" else OK)
    assert deliveries.purge(NOON + deliveries.KEPT) == 0
    assert deliveries.purge(NOON + deliveries.KEPT + MINUTE) == 1
    left = WebhookDelivery.objects.order_by("event_id").values_list("event__fact", flat=True)
    assert list(left) == ["newer", "still pending"]
    endpoints.change(failing, enabled=False, now=NOON)
    assert deliveries.purge(NOON + deliveries.KEPT + MINUTE) == 1


def test_many_events_become_deliveries_in_portions(account: Account) -> None:
    new_endpoint(account)
    for number in range(7):
        happen(account, str(number))
    portions = list(itertools.takewhile(bool, (deliveries.fan_out(NOON, limit=3) for _ in range(9))))
    assert portions == [3, 3, 1]
    assert send_all(NOON) == [str(number) for number in range(7)]
