"""Deliveries: created from events, claimed by senders, finished with the answer of the receiver.

Invariants: a lane (the events of one account at one endpoint) has one delivery that is due, its oldest
pending one, so that events arrive in order; a delivery is claimed by one sender at a time, and a claim that
nobody finishes ends after LEASE; the row of the endpoint is locked before its pending deliveries change.
Tests and redeliveries have no lane: they neither wait nor make others wait.
"""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import F, Min, Q, QuerySet
from django.utils.translation import gettext as _

from accounts import encryption
from accounts.models import WebhookDelivery, WebhookEndpoint, WebhookEvent
from accounts.webhook_endpoints import endpoints, events
from accounts.webhook_endpoints.exchange import Answer
from core import ids, locks
from core.errors import DomainError

Status = WebhookDelivery.Status
# The schedule of the Standard Webhooks specification: the waits after the first, second … failed attempt.
WAITS = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
LONGEST_WAIT = timedelta(hours=24)
DISABLED_AFTER = timedelta(days=3)
# Between two attempts of a receiver that fails lie at most LONGEST_WAIT and a tenth. A longer time without an
# attempt is one in which no sender ran: it says nothing about the receiver.
LONGEST_SILENCE = timedelta(hours=27)
LEASE = timedelta(seconds=60)  # longer than an exchange (exchange.LIMIT_SECONDS)
MOST_AT_ONCE = 4  # requests to one endpoint
# An endpoint with that many failures in a row is down: it gets one request at a time, with pauses that keep
# its share of a sender below a twentieth.
DOWN_AFTER = 3
REST_FACTOR = 20
SHORTEST_REST, LONGEST_REST = timedelta(seconds=5), timedelta(minutes=5)
KEPT = timedelta(days=30)  # events and their deliveries
KEPT_BODY = 2000  # characters of a response
MOST_UNORDERED = 20  # tests and redeliveries that wait at one endpoint
GONE = 410


class EndpointDisabled(DomainError):
    """The endpoint is disabled: it receives nothing."""

    code = "endpoint_disabled"

    def detail(self) -> str:
        return _("The endpoint is disabled. Enable it first.")


class DeliveryPending(DomainError):
    """The delivery is not finished: it is still tried."""

    code = "delivery_pending"

    def detail(self) -> str:
        return _("This delivery is still being tried.")


class TooManyRequested(DomainError):
    """Many tests and redeliveries of the endpoint wait already."""

    code, status = "too_many_deliveries", 429

    def detail(self) -> str:
        return _("Many requested deliveries wait already. Try again in a minute.")

    def headers(self, now: datetime) -> dict[str, str]:
        return {"Retry-After": "60"}


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that this sender works on, with all that the request needs."""

    delivery_id: UUID
    endpoint_id: UUID
    claimed_until: datetime
    url: str
    private: bool
    secrets: list[str]  # empty: no key of the settings decrypts them
    event_id: str
    body: str


def fan_out(now: datetime, *, limit: int = 500) -> int:
    """Create the deliveries of new events, in the order of the events; return the number of events."""
    with transaction.atomic():
        if not locks.try_lock_in_transaction("webhooks: fan out"):
            return 0
        new = list(WebhookEvent.objects.filter(fanned_out=False).order_by("pk")[:limit])
        if not new:
            return 0
        accounts = {event.account_id for event in new}
        enabled = WebhookEndpoint.objects.filter(Q(account=None) | Q(account__in=accounts), disabled_at=None)
        receivers = list(enabled.order_by("pk").select_for_update(no_key=True))
        pending = WebhookDelivery.objects.filter(
            status=Status.PENDING, endpoint__in=receivers, lane__in=accounts
        )
        busy = set(pending.values_list("endpoint_id", "lane").distinct())
        rows, woken = [], set()
        for event in new:
            for endpoint in receivers:
                if event.type not in endpoint.events or endpoint.account_id not in (None, event.account_id):
                    continue
                lane = (endpoint.pk, event.account_id)
                due_at = None if lane in busy else now
                busy.add(lane)
                woken.add(endpoint.pk)
                rows.append(_new(endpoint, event, now, lane=event.account_id, due_at=due_at))
        WebhookDelivery.objects.bulk_create(rows)
        WebhookEvent.objects.filter(pk__in=[event.pk for event in new]).update(fanned_out=True)
        _wake(WebhookEndpoint.objects.filter(pk__in=woken), now)
    return len(new)


def claim(now: datetime) -> Claimed | None:
    """Claim a delivery that is due, of the endpoint that has waited longest; None when nothing is due."""
    while True:
        with transaction.atomic():
            waiting = WebhookEndpoint.objects.filter(disabled_at=None, next_at__lte=now).order_by("next_at")
            endpoint = waiting.select_for_update(skip_locked=True, no_key=True).first()
            if endpoint is None:
                return None
            claimed = _claim_of(endpoint, now)
            endpoint.save(update_fields=["next_at"])
        if claimed is not None:
            return claimed


def _claim_of(endpoint: WebhookEndpoint, now: datetime) -> Claimed | None:
    """Claim a delivery of a locked endpoint, and set when the endpoint is next looked at."""
    pending = endpoint.deliveries.filter(status=Status.PENDING)
    running = pending.filter(due_at__gt=now, claimed_until__gt=now).count()  # due_at: for the index
    most = 1 if endpoint.failures >= DOWN_AFTER else MOST_AT_ONCE
    if running >= most:
        endpoint.next_at = now + LEASE  # the end of a running one sets it to that moment
        return None
    due = pending.filter(due_at__lte=now).order_by("due_at", "event_id").select_related("event")
    delivery = due.first()
    if delivery is None:
        endpoint.next_at = pending.aggregate(first=Min("due_at"))["first"]
        return None
    until = now + LEASE
    delivery.attempts += 1
    delivery.due_at = delivery.claimed_until = until
    delivery.save(update_fields=["attempts", "due_at", "claimed_until"])
    endpoint.next_at = now if running + 1 < most else until
    try:
        secrets = endpoints.secrets_of(endpoint, now)
    except encryption.Unreadable:
        secrets = []
    return Claimed(
        delivery_id=delivery.pk,
        endpoint_id=endpoint.pk,
        claimed_until=until,
        url=endpoint.url,
        private=endpoints.is_private_allowed(endpoint),
        secrets=secrets,
        event_id=delivery.event.public_id,
        body=events.body_of(delivery.event),
    )


def finish(claimed: Claimed, answer: Answer, now: datetime) -> None:
    """Record the answer to a claimed delivery. Nothing, if the claim has ended or the endpoint is deleted."""
    with transaction.atomic():
        endpoint = (
            WebhookEndpoint.objects.select_for_update(no_key=True).filter(pk=claimed.endpoint_id).first()
        )
        delivery = WebhookDelivery.objects.filter(
            pk=claimed.delivery_id, claimed_until=claimed.claimed_until
        ).first()
        if endpoint is None or delivery is None:
            return
        delivery.attempted_at, delivery.claimed_until, delivery.due_at = now, None, None
        delivery.response_status, delivery.error = answer.status, answer.error
        delivery.response_body = answer.body[:KEPT_BODY]
        delivery.duration_ms = int(answer.seconds * 1000)
        endpoint.next_at = now
        if answer.succeeded:
            delivery.status = Status.DELIVERED
            endpoint.failures, endpoint.failing_since, endpoint.failed_at = 0, None, None
        else:
            _fail(endpoint, delivery, answer, now)
        delivery.save()
        endpoint.save()
        if delivery.status != Status.PENDING and delivery.lane is not None:
            _advance(delivery)


def _fail(endpoint: WebhookEndpoint, delivery: WebhookDelivery, answer: Answer, now: datetime) -> None:
    endpoint.failures += 1
    since = endpoint.failing_since
    if since is None or endpoint.failed_at is None or now - endpoint.failed_at > LONGEST_SILENCE:
        since = now
    endpoint.failing_since, endpoint.failed_at = since, now
    if delivery.attempts > len(WAITS):
        delivery.status = Status.FAILED
    else:
        delivery.due_at = now + retry_wait(delivery.attempts, answer.retry_after)
    if endpoint.failures >= DOWN_AFTER:
        rest = timedelta(seconds=answer.seconds * REST_FACTOR)
        endpoint.next_at = now + min(max(rest, SHORTEST_REST), LONGEST_REST)
    if endpoint.disabled_at is None:
        if answer.status == GONE:
            endpoints.disable(endpoint, endpoints.Reason.GONE, now)
        elif now - since >= DISABLED_AFTER:
            endpoints.disable(endpoint, endpoints.Reason.FAILING, now)


def retry_wait(attempts: int, retry_after: int | None) -> timedelta:
    """The wait after a failed attempt: by the schedule, up to a tenth more, or what the receiver asks for."""
    wait = WAITS[attempts - 1] * random.uniform(1.0, 1.1)  # noqa: S311 - spreads retries, protects nothing
    asked = timedelta(seconds=min(retry_after or 0, LONGEST_WAIT.total_seconds()))
    return max(wait, asked)


def release(claimed: Claimed, now: datetime) -> None:
    """Give up a claimed delivery without an answer: it is due at once. Nothing, if the claim has ended."""
    with transaction.atomic():
        WebhookEndpoint.objects.select_for_update(no_key=True).filter(pk=claimed.endpoint_id).first()
        released = WebhookDelivery.objects.filter(
            pk=claimed.delivery_id, claimed_until=claimed.claimed_until
        ).update(claimed_until=None, due_at=now, attempts=F("attempts") - 1)
        if released:
            _wake(WebhookEndpoint.objects.filter(pk=claimed.endpoint_id), now)


def _advance(finished: WebhookDelivery) -> None:
    """The oldest pending delivery of the lane is due. The endpoint is locked."""
    lane = WebhookDelivery.objects.filter(
        endpoint_id=finished.endpoint_id, lane=finished.lane, status=Status.PENDING
    )
    following = lane.order_by("event_id").values("pk")[:1]
    lane.filter(pk__in=following, due_at=None).update(due_at=finished.attempted_at)


def send_test(endpoint: WebhookEndpoint, now: datetime) -> WebhookDelivery:
    """Queue a test event for an endpoint. Raises EndpointDisabled, TooManyRequested."""
    with transaction.atomic():
        endpoint = _ready(endpoint)
        account = endpoint.account
        data: events.TestEvent = {
            "account": {"id": account.public_id, "external_id": account.external_id} if account else None,
            "endpoint": endpoint.public_id,
        }
        event = WebhookEvent.objects.create(
            account=account,
            type=WebhookEvent.TEST,
            fact=f"test:{ids.new_id().hex}",
            data=data,
            created_at=now,
            fanned_out=True,
        )
        return _queue(endpoint, event, now)


def redeliver(delivery: WebhookDelivery, now: datetime) -> WebhookDelivery:
    """Queue another delivery of the same event, with its webhook-id, at once and whatever else waits.

    Raises EndpointDisabled, DeliveryPending, TooManyRequested.
    """
    with transaction.atomic():
        endpoint = _ready(delivery.endpoint)
        if WebhookDelivery.objects.filter(pk=delivery.pk, status=Status.PENDING).exists():
            raise DeliveryPending
        return _queue(endpoint, delivery.event, now)


def purge(now: datetime) -> int:
    """Delete events older than KEPT, except those still to be sent; return their number."""
    old = WebhookEvent.objects.filter(created_at__lt=now - KEPT, fanned_out=True)
    due = WebhookDelivery.objects.filter(status=Status.PENDING, endpoint__disabled_at=None)
    gone = 0
    while portion := list(
        old.exclude(pk__in=due.values("event_id")).order_by("pk").values_list("pk", flat=True)[:1000]
    ):
        with transaction.atomic():
            WebhookDelivery.objects.filter(event_id__in=portion).delete()
            WebhookEvent.objects.filter(pk__in=portion).delete()
        gone += len(portion)
    return gone


def _ready(endpoint: WebhookEndpoint) -> WebhookEndpoint:
    """The locked endpoint, if it takes a requested delivery now."""
    endpoint = endpoints.locked(endpoint.pk)
    if endpoint.disabled_at is not None:
        raise EndpointDisabled
    waiting = endpoint.deliveries.filter(status=Status.PENDING, lane=None)
    if waiting.count() >= MOST_UNORDERED:
        raise TooManyRequested
    return endpoint


def _queue(endpoint: WebhookEndpoint, event: WebhookEvent, now: datetime) -> WebhookDelivery:
    delivery = _new(endpoint, event, now, lane=None, due_at=now)
    delivery.save(force_insert=True)
    _wake(WebhookEndpoint.objects.filter(pk=endpoint.pk), now)
    return delivery


def _new(
    endpoint: WebhookEndpoint,
    event: WebhookEvent,
    now: datetime,
    *,
    lane: UUID | None,
    due_at: datetime | None,
) -> WebhookDelivery:
    return WebhookDelivery(endpoint=endpoint, event=event, lane=lane, due_at=due_at, created_at=now)


def _wake(rows: QuerySet[WebhookEndpoint], now: datetime) -> None:
    """Something is due at these endpoints. One that is down keeps its rest.

    If it is next looked at after the longest rest, it waits for a retry.
    """
    resting = Q(failures__gte=DOWN_AFTER, next_at__lte=now + LONGEST_REST)
    rows.filter(Q(next_at=None) | Q(next_at__gt=now) & ~resting).update(next_at=now)
