"""The inbox: every event of Stripe's, stored before it is answered, applied once, visible until it is done.

Invariants: an event is marked done in the transaction of its effect, under its row's lock, so that a crash
or a failing database leaves it waiting; what Stripe must be asked for is fetched before that transaction;
an event of another mode or another Stripe account never gets in.
"""

from datetime import UTC, datetime, timedelta

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q

from billing import stripe_gateway
from billing.models import StripeEvent
from billing.stripe_gateway import Facts
from billing.subscriptions import lifecycle, stripe_sync
from billing.webhooks import handlers

log = structlog.get_logger(__name__)
BACKOFF_MINUTES = (1, 2, 5, 15, 60, 240)
MOST_ATTEMPTS = 20


class NotForUs(Exception):
    """An event of the other mode, or of another Stripe account."""


def receive(payload: bytes, signature: str | None, now: datetime) -> StripeEvent:
    """Verify and store an event; when this returns it is committed. Repeats return what is stored.

    Raises stripe_gateway.SignatureInvalid, NotForUs.
    """
    return store(stripe_gateway.verified_event(payload, signature), now, source="webhook")


def store(event: Facts, now: datetime, *, source: str) -> StripeEvent:
    """Keep an event that Stripe is known to have sent. Raises NotForUs."""
    _require_ours(event)
    row, _created = StripeEvent.objects.get_or_create(
        stripe_id=event["id"],
        defaults={
            "type": event["type"],
            "api_version": event.get("api_version") or "",
            "happened_at": datetime.fromtimestamp(int(event["created"]), tz=UTC),
            "payload": event,
            "source": source,
            "received_at": now,
        },
    )
    return row


def process(event_id: int, now: datetime) -> StripeEvent:
    """Apply a stored event unless that is done. What goes wrong is kept on the row, not raised.

    Twenty at once: one applies it, the others wait for the row and find it done.
    """
    event = StripeEvent.objects.get(pk=event_id)
    if event.state not in StripeEvent.WAITING:
        return event
    handler = handlers.handler_of(event.type)
    if handler is None:
        return _close(event, StripeEvent.State.IGNORED, "", now)
    try:
        try:
            return _apply(event, handler, now)
        except stripe_sync.Outdated:
            return _apply(event, handler, now)
    except (handlers.Quarantine, stripe_sync.NotOurs, lifecycle.PlanClosed) as reason:
        return _close(event, StripeEvent.State.QUARANTINED, str(reason), now)
    except (stripe_gateway.NotAtStripe, AttributeError, KeyError, TypeError, ValueError) as error:
        # An unknown object, or a shape that we do not understand: nothing was applied, a person looks at it.
        return _close(event, StripeEvent.State.QUARANTINED, f"{type(error).__name__}: {error}", now)
    except Exception as error:
        log.exception("stripe_event_failed", stripe_event=event.stripe_id, type=event.type)
        return _fail(event, error, now)


def _apply(event: StripeEvent, handler: handlers.Handler, now: datetime) -> StripeEvent:
    facts = handler.fetch(event.payload["data"]["object"])
    with transaction.atomic():
        held = StripeEvent.objects.select_for_update().get(pk=event.pk)
        if held.state not in StripeEvent.WAITING:
            return held
        known = handler.apply(facts, now)
        held.state = StripeEvent.State.DONE if known else StripeEvent.State.IGNORED
        held.attempts, held.trouble, held.processed_at = held.attempts + 1, "", now
        held.save(update_fields=["state", "attempts", "trouble", "processed_at"])
    return held


def process_waiting(now: datetime, *, limit: int = 200) -> int:
    """Apply what is waiting: events whose process died, and failed ones whose time has come again."""
    due = StripeEvent.objects.filter(state__in=StripeEvent.WAITING, attempts__lt=MOST_ATTEMPTS)
    due = due.filter(Q(next_try_at=None) | Q(next_try_at__lte=now))
    ids = list(due.order_by("happened_at", "pk").values_list("pk", flat=True)[:limit])
    for event_id in ids:
        process(event_id, now)
    return len(ids)


def retry(event: StripeEvent, now: datetime) -> StripeEvent:
    """Staff ask for another try, whatever became of the event."""
    waiting = StripeEvent.objects.filter(pk=event.pk).exclude(state=StripeEvent.State.DONE)
    waiting.update(state=StripeEvent.State.RECEIVED, next_try_at=None, attempts=0)
    return process(event.pk, now)


def _require_ours(event: Facts) -> None:
    live = settings.STRIPE_SECRET_KEY.startswith(("sk_live_", "rk_live_"))
    account = event.get("account")
    if bool(event.get("livemode")) != live or (account and account != settings.STRIPE_ACCOUNT):
        log.error(
            "stripe_event_refused",
            alert=True,
            stripe_event=event.get("id"),
            livemode=event.get("livemode"),
            account=account,
        )
        raise NotForUs


def _close(event: StripeEvent, state: str, trouble: str, now: datetime) -> StripeEvent:
    """Only a waiting event: somebody else may have applied it meanwhile."""
    rows = StripeEvent.objects.filter(pk=event.pk, state__in=StripeEvent.WAITING)
    rows.update(state=state, trouble=trouble, processed_at=now, attempts=F("attempts") + 1)
    if state == StripeEvent.State.QUARANTINED:
        log.error(
            "stripe_event_quarantined", alert=True, stripe_event=event.stripe_id, type=event.type, why=trouble
        )
    event.refresh_from_db()
    return event


def _fail(event: StripeEvent, error: Exception, now: datetime) -> StripeEvent:
    wait = BACKOFF_MINUTES[min(event.attempts, len(BACKOFF_MINUTES) - 1)]
    StripeEvent.objects.filter(pk=event.pk, state__in=StripeEvent.WAITING).update(
        state=StripeEvent.State.FAILED,
        trouble=f"{type(error).__name__}: {error}",
        attempts=F("attempts") + 1,
        next_try_at=now + timedelta(minutes=wait),
    )
    event.refresh_from_db()
    return event
