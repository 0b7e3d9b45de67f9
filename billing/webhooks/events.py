"""Stripe events: stored before they are answered, applied once, visible to staff until they are done.

Invariants: an event is marked done in the transaction of its effect, under its row lock, so a crash or a
database error leaves it waiting; calls to Stripe are made before that transaction; events of another mode or
another Stripe account are never stored.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import F, Q

from billing import offers, stripe_gateway
from billing.models import StripeEvent
from billing.payments import cards
from billing.refunds import disputes
from billing.stripe_gateway import StripeObject
from billing.subscriptions import prices, stripe_objects, stripe_sync
from billing.webhooks import handlers, ownership, payloads

log = structlog.get_logger(__name__)
BACKOFF_MINUTES = (1, 2, 5, 15, 60, 240)
MAX_ATTEMPTS = 20
# The event itself is at fault, so that another attempt cannot succeed before staff have looked at it.
_QUARANTINING = (
    payloads.EventNotUnderstood,
    stripe_gateway.ResourceMissing,
    stripe_objects.UnmatchedObject,
    offers.PlanClosed,
)
_TRANSIENT = (stripe_gateway.StripeUnavailable, OperationalError, InterfaceError)  # retried without an alert


class WrongStripeAccount(Exception):
    """The event belongs to the other mode (test or live), or to another Stripe account."""


def receive(payload: bytes, signature: str | None, now: datetime) -> StripeEvent:
    """Verify and store a webhook's event, committed on return. A repeated event returns the stored one.

    Raises stripe_gateway.SignatureVerificationError, WrongStripeAccount.
    """
    stripe_gateway.verify_signature(payload, signature)
    return store(payloads.parse(payload), now, source="webhook")


def store(event: StripeObject, now: datetime, *, source: str) -> StripeEvent:
    """Store an event that comes from Stripe; a malformed one is quarantined. Raises WrongStripeAccount."""
    envelope = payloads.envelope(event, now)
    _require_own_account(event)
    stored, created = StripeEvent.objects.get_or_create(
        stripe_id=envelope.stripe_id,
        defaults={
            "type": envelope.type,
            "api_version": envelope.api_version,
            "happened_at": envelope.happened_at,
            "payload": envelope.payload,
            "source": source,
            "received_at": now,
            **_quarantined(envelope, now),
        },
    )
    if created and envelope.error:
        _alert_quarantined(stored)
    return stored


def _quarantined(envelope: payloads.Envelope, now: datetime) -> dict[str, object]:
    state = StripeEvent.State.QUARANTINED
    return {"state": state, "error": envelope.error, "processed_at": now} if envelope.error else {}


def process(event_id: int, now: datetime) -> StripeEvent:
    """Apply a stored event that is waiting. Errors are stored with the event, not raised.

    Concurrent calls: one applies the event, the others wait for its row lock and find it done.
    """
    event = StripeEvent.objects.get(pk=event_id)
    if event.state not in StripeEvent.WAITING:
        return event
    handler = handlers.handler_of(event.type)
    if handler is None:
        return _close(event, StripeEvent.State.IGNORED, "", now)
    try:
        stripe_object = payloads.checked_object(event.payload, handler.required)
        if not ownership.is_ours(event.type, stripe_object):
            return _close(event, StripeEvent.State.IGNORED, "", now)
        try:
            event = _apply(event, handler, stripe_object, now)
        except (stripe_sync.StaleSnapshot, cards.StaleCards, disputes.StaleDispute):
            event = _apply(event, handler, stripe_object, now)
    except stripe_objects.ForeignObject as error:
        return _close(event, StripeEvent.State.IGNORED, str(error), now)
    except stripe_objects.UnknownPrice as error:
        prices.record_unknown(error.price)
        return _close(event, StripeEvent.State.QUARANTINED, str(error), now)
    except _QUARANTINING as error:
        return _close(event, StripeEvent.State.QUARANTINED, str(error), now)
    except Exception as error:  # programming errors too: a later attempt, after the fix, applies the event
        alert = not isinstance(error, _TRANSIENT)
        log.exception("stripe_event_failed", alert=alert, stripe_event=event.stripe_id, type=event.type)
        return _fail(event, error, now)
    if handler.finish is not None:
        _finish(handler.finish, now)
    return event


def _finish(finish: Callable[[datetime], object], now: datetime) -> None:
    """Call Stripe for what the event has decided. The event is done, and a task repeats what fails."""
    try:
        finish(now)
    except Exception:
        log.exception("stripe_event_not_finished", alert=True)


def _apply(
    event: StripeEvent, handler: handlers.Handler, stripe_object: StripeObject, now: datetime
) -> StripeEvent:
    if event.api_version != stripe_gateway.API_VERSION:
        stripe_object = stripe_gateway.retrieve_again(stripe_object)
    fetched = handler.fetch(stripe_object)
    with transaction.atomic():
        event = StripeEvent.objects.select_for_update(no_key=True).get(pk=event.pk)
        if event.state not in StripeEvent.WAITING:
            return event
        relevant = handler.apply(fetched, now)
        event.state = StripeEvent.State.DONE if relevant else StripeEvent.State.IGNORED
        event.attempts, event.error, event.processed_at = event.attempts + 1, "", now
        event.save(update_fields=["state", "attempts", "error", "processed_at"])
    return event


def process_waiting(now: datetime, *, limit: int = 200) -> int:
    """Apply waiting events: those whose process died, and failed ones whose next attempt is due."""
    due = StripeEvent.objects.filter(state__in=StripeEvent.WAITING, attempts__lt=MAX_ATTEMPTS)
    due = due.filter(Q(next_try_at=None) | Q(next_try_at__lte=now))
    ids = list(due.order_by("happened_at", "pk").values_list("pk", flat=True)[:limit])
    for event_id in ids:
        process(event_id, now)
    return len(ids)


def retry(event: StripeEvent, now: datetime) -> StripeEvent:
    """Apply an event again on request of staff, unless it is done."""
    not_done = StripeEvent.objects.filter(pk=event.pk).exclude(state=StripeEvent.State.DONE)
    not_done.update(state=StripeEvent.State.RECEIVED, next_try_at=None, attempts=0)
    return process(event.pk, now)


def retry_unknown_price(stripe_price_id: str, now: datetime) -> int:
    """Apply the events that waited until staff chose the plan of a price; the number applied."""
    quarantined = StripeEvent.objects.filter(
        state=StripeEvent.State.QUARANTINED, error__contains=stripe_price_id
    )
    states = [retry(event, now).state for event in quarantined.order_by("happened_at", "pk")]
    return states.count(StripeEvent.State.DONE)


def _require_own_account(event: StripeObject) -> None:
    """Raises WrongStripeAccount for an event that names the other mode, or another account."""
    live = settings.STRIPE_SECRET_KEY.startswith(("sk_live_", "rk_live_"))
    livemode, account = event.get("livemode", False), event.get("account")
    other_mode = isinstance(livemode, bool) and livemode != live
    if other_mode or (account and account != settings.STRIPE_ACCOUNT):
        log.error(
            "stripe_event_refused",
            alert=True,
            stripe_event=str(event.get("id"))[:255],
            livemode=livemode,
            account=str(account)[:255],
        )
        raise WrongStripeAccount


def _close(event: StripeEvent, state: str, reason: str, now: datetime) -> StripeEvent:
    """Close an event unless a concurrent call has applied it."""
    waiting = StripeEvent.objects.filter(pk=event.pk, state__in=StripeEvent.WAITING)
    waiting.update(state=state, error=reason, processed_at=now, attempts=F("attempts") + 1)
    event.refresh_from_db()
    if event.state == StripeEvent.State.QUARANTINED:
        _alert_quarantined(event)
    return event


def _alert_quarantined(event: StripeEvent) -> None:
    log.error(
        "stripe_event_quarantined",
        alert=True,
        stripe_event=event.stripe_id,
        type=event.type,
        reason=event.error,
    )


def _fail(event: StripeEvent, error: Exception, now: datetime) -> StripeEvent:
    minutes = BACKOFF_MINUTES[min(event.attempts, len(BACKOFF_MINUTES) - 1)]
    StripeEvent.objects.filter(pk=event.pk, state__in=StripeEvent.WAITING).update(
        state=StripeEvent.State.FAILED,
        error=f"{type(error).__name__}: {error}",
        attempts=F("attempts") + 1,
        next_try_at=now + timedelta(minutes=minutes),
    )
    event.refresh_from_db()
    return event
