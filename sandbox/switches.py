"""Faults that a developer or a test switches on: lost, doubled, late and disordered events, lost answers,
an outage.

Invariant: with every switch off the sandbox behaves like Stripe on a good day; a switch that counts turns
itself off.
"""

import dataclasses

from django.db.models import F, TextChoices
from django.utils.translation import gettext_lazy as _

from sandbox.models import Switch

UNTIL_SWITCHED_OFF = -1


class Fault(TextChoices):
    EVENTS_LOST = "events_lost", _("Events are lost")
    EVENTS_DUPLICATED = "events_duplicated", _("Events arrive twice")
    EVENTS_LATE = "events_late", _("Events arrive late")
    EVENTS_DISORDERED = "events_disordered", _("Events overtake each other")
    ANSWERS_LOST = "answers_lost", _("Stripe does the work, its answer is lost")
    DOWN = "down", _("Stripe is down (every call answers 500)")
    CARDS_FAIL = "cards_fail", _("Saved cards are declined off-session")


DEFAULT_SECONDS = {Fault.EVENTS_LATE: 30, Fault.EVENTS_DISORDERED: 2, Fault.ANSWERS_LOST: 0}


@dataclasses.dataclass(frozen=True)
class State:
    """`remaining` occasions (0 is off, -1 until switched off); `seconds` is what the fault makes of it."""

    fault: Fault
    remaining: int
    seconds: int


def states() -> list[State]:
    """All switches, in the order of the list above."""
    rows = {row.name: row for row in Switch.objects.all()}
    return [
        State(fault, rows[fault].remaining, rows[fault].seconds)
        if fault in rows
        else State(fault, 0, DEFAULT_SECONDS.get(fault, 0))
        for fault in Fault
    ]


def turn(fault: Fault, *, remaining: int, seconds: int | None = None) -> None:
    """Set a switch: 0 off, n for the next n occasions, -1 until it is switched off."""
    wait = DEFAULT_SECONDS.get(fault, 0) if seconds is None else seconds
    Switch.objects.update_or_create(name=fault, defaults={"remaining": remaining, "seconds": wait})


def turn_all_off() -> None:
    Switch.objects.all().delete()


def any_on() -> bool:
    return Switch.objects.exclude(remaining=0).exists()


def occurs(fault: Fault) -> State | None:
    """The switch when it is on, used up by one occasion; None when it is off."""
    row = Switch.objects.filter(name=fault).exclude(remaining=0).first()
    if row is None:
        return None
    if row.remaining > 0 and not Switch.objects.filter(pk=row.pk, remaining__gt=0).update(
        remaining=F("remaining") - 1
    ):
        return None
    return State(fault, row.remaining, row.seconds)
