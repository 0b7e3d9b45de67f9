"""Simulated faults, switched on by a developer or a test.

Lost, duplicated, late and reordered events, lost API responses, an outage, stored server errors, declined
cards.

Invariant: with every switch off the sandbox delivers each event once and in order. A counted switch turns
itself off.
"""

import dataclasses

from django.db import connection
from django.db.models import F, TextChoices
from django.utils.translation import gettext_lazy as _

from sandbox.models import Switch

UNTIL_SWITCHED_OFF = -1


class Fault(TextChoices):
    EVENTS_LOST = "events_lost", _("Events are not delivered")
    EVENTS_DUPLICATED = "events_duplicated", _("Events are delivered twice")
    EVENTS_LATE = "events_late", _("Events are delivered late")
    EVENTS_DISORDERED = "events_disordered", _("Events are delivered out of order")
    ANSWERS_LOST = "answers_lost", _("Requests are processed, but the response is lost")
    DOWN = "down", _("Every request fails with status 500")
    FAILS = (
        "fails",
        _("A request fails with status 500, as do all others with its idempotency key"),
    )
    CARDS_FAIL = "cards_fail", _("Off-session payments with saved cards are declined")


DEFAULT_SECONDS = {Fault.EVENTS_LATE: 30, Fault.EVENTS_DISORDERED: 2, Fault.ANSWERS_LOST: 0}


@dataclasses.dataclass(frozen=True)
class State:
    """`remaining` occurrences (0 off, -1 until switched off); `seconds` is the delay the fault causes."""

    fault: Fault
    remaining: int
    seconds: int


def states() -> list[State]:
    """All switches, in the order of Fault."""
    stored = {switch.name: switch for switch in Switch.objects.all()}
    return [
        State(fault, stored[fault].remaining, stored[fault].seconds)
        if fault in stored
        else State(fault, 0, DEFAULT_SECONDS.get(fault, 0))
        for fault in Fault
    ]


def turn(fault: Fault, *, remaining: int, seconds: int | None = None) -> None:
    """Set a switch: 0 off, n for the next n occurrences, -1 until it is switched off."""
    delay = DEFAULT_SECONDS.get(fault, 0) if seconds is None else seconds
    Switch.objects.update_or_create(name=fault, defaults={"remaining": remaining, "seconds": delay})


def turn_all_off() -> None:
    Switch.objects.all().delete()


def switched_on() -> set[str]:
    """The names of the switches that are on."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM sandbox_switch WHERE remaining <> 0")
        return {name for (name,) in cursor.fetchall()}


def occurs(fault: Fault) -> State | None:
    """The switch if it is on, after counting one occurrence; None if it is off."""
    switch = Switch.objects.filter(name=fault).exclude(remaining=0).first()
    if switch is None:
        return None
    if switch.remaining > 0 and not Switch.objects.filter(pk=switch.pk, remaining__gt=0).update(
        remaining=F("remaining") - 1
    ):
        return None
    return State(fault, switch.remaining, switch.seconds)
