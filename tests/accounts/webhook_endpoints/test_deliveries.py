"""Deliveries: order, claims, retries, redelivery and purge, with answers that the tests say."""

import datetime as dt
import itertools

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Account, WebhookDelivery, WebhookEndpoint
from accounts.webhook_endpoints import deliveries, endpoints
from accounts.webhook_endpoints.exchange import Answer
from tests.accounts.webhook_endpoints.conftest import (
    DAY,
    FAILS,
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
    waits = {deliveries.retry_wait(3, None) for _ in range(20)}
    assert len(waits) > 10


def test_the_receiver_may_ask_for_a_longer_wait_but_not_for_a_shorter_one() -> None:
    assert deliveries.retry_wait(1, 600) == 10 * MINUTE
    assert deliveries.retry_wait(3, 1) >= 30 * MINUTE
    assert deliveries.retry_wait(1, 10**9) == DAY


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


def test_events_that_no_sender_has_taken_up_are_not_purged(account: Account) -> None:
    new_endpoint(account)
    happen(account, "a")
    later = NOON + deliveries.KEPT + DAY
    assert deliveries.purge(later) == 0
    assert send_all(later) == ["a"]
    assert deliveries.purge(later) == 1


def test_a_released_claim_is_due_at_once_and_no_attempt(account: Account) -> None:
    new_endpoint(account)
    happen(account, "a")
    deliveries.fan_out(NOON)
    claimed = deliveries.claim(NOON)
    assert claimed is not None
    deliveries.release(claimed, NOON + MINUTE / 6)
    second = deliveries.claim(NOON + MINUTE / 6)
    assert second is not None and second.delivery_id == claimed.delivery_id
    deliveries.release(claimed, NOON + MINUTE / 6)  # the first claim has ended
    assert WebhookDelivery.objects.get().claimed_until == second.claimed_until
    deliveries.finish(second, OK, NOON + MINUTE / 6)
    deliveries.release(second, NOON + MINUTE / 6)
    [delivery] = WebhookDelivery.objects.all()
    assert (delivery.status, delivery.attempts, delivery.due_at) == ("delivered", 1, None)


def test_many_events_become_deliveries_in_portions(account: Account) -> None:
    new_endpoint(account)
    for number in range(7):
        happen(account, str(number))
    portions = list(itertools.takewhile(bool, (deliveries.fan_out(NOON, limit=3) for _ in range(9))))
    assert portions == [3, 3, 1]
    assert send_all(NOON) == [str(number) for number in range(7)]


def test_a_claim_does_not_read_all_that_waits(account: Account) -> None:
    """The deliveries behind the first of a lane, a million perhaps, are not counted at each claim."""
    new_endpoint(account)
    for number in range(300):
        happen(account, f"{number}")
    deliveries.fan_out(NOON)
    with connection.cursor() as cursor:
        cursor.execute("analyze accounts_webhookdelivery")
    with CaptureQueriesContext(connection) as captured:
        deliveries.claim(NOON)
    [count] = [query["sql"] for query in captured if "COUNT(" in query["sql"]]
    with connection.cursor() as cursor:
        cursor.execute("set local enable_seqscan = off")
        cursor.execute(f"explain {count}")
        plan = " ".join(line for (line,) in cursor.fetchall())
    assert "webhook_delivery_due" in plan, plan


def test_what_is_new_does_not_wait_for_the_retry_of_an_older_event(account: Account, team: Account) -> None:
    """The receiver was down when it got the only event, whose next attempt is in two hours."""
    endpoint = new_endpoint(None)
    happen(account, "a")
    for now in (NOON, NOON + MINUTE, NOON + 7 * MINUTE, NOON + 41 * MINUTE):
        assert send_all(now, FAILS) == ["a"]
    later = NOON + 60 * MINUTE
    assert send_all(later) == []
    happen(team, "b", now=later)
    assert send_all(later) == ["b"]
    assert send_all(later) == []
    test = deliveries.send_test(again(endpoint), later)
    assert send_all(later) == [test.event.fact]


def test_a_test_does_not_wait_for_a_retry_either(account: Account) -> None:
    endpoint = new_endpoint(account)
    happen(account, "a")
    for now in (NOON, NOON + MINUTE, NOON + 7 * MINUTE, NOON + 41 * MINUTE):
        send_all(now, FAILS)
    later = NOON + 60 * MINUTE
    assert send_all(later) == []
    deliveries.send_test(again(endpoint), later)
    assert len(send_all(later)) == 1
