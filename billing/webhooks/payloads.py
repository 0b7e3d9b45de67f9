"""Check the payload of a Stripe event before it is stored and before it is handled.

Invariant: in a checked object every field that the handlers read is absent or has a type that Stripe
documents, and the handler's required fields are present. A KeyError or TypeError after the check is a
programming error.
"""

from types import NoneType
from typing import Any

from django.utils.translation import gettext as _

from billing.stripe_gateway import StripeObject

_OBJECT_OR_ID = (str, dict, NoneType)
_TYPES: dict[str, tuple[type, ...]] = {
    "id": (str,),
    "amount": (int,),
    "amount_received": (int, NoneType),
    "amount_refunded": (int,),
    "amount_total": (int, NoneType),
    "charge": _OBJECT_OR_ID,
    "client_reference_id": (str, NoneType),
    "currency": (str, NoneType),
    "evidence_details": (dict, NoneType),
    "last_payment_error": (dict, NoneType),
    "latest_charge": _OBJECT_OR_ID,
    "metadata": (dict, NoneType),
    "parent": (dict, NoneType),
    "payment_intent": _OBJECT_OR_ID,
    "payment_method_details": (dict, NoneType),
    "payment_method_types": (list, NoneType),
    "setup_intent": _OBJECT_OR_ID,
    "status": (str, NoneType),
    "subscription": _OBJECT_OR_ID,
}


class EventNotUnderstood(Exception):
    """The event has an unknown shape, or contradicts the database: staff must look at it."""


def require_envelope(event: StripeObject) -> None:
    """Raises EventNotUnderstood unless id, type and time are readable, so that the event can be stored."""
    text = isinstance(event.get("id"), str) and isinstance(event.get("type"), str)
    if not text or not isinstance(event.get("created"), int | float):
        raise EventNotUnderstood(_("The event has no id, type or time"))


def checked_object(event: StripeObject, required: tuple[str, ...]) -> StripeObject:
    """The object of an event. Raises EventNotUnderstood if a field is missing or has another type."""
    data = event.get("data")
    stripe_object: Any = data.get("object") if isinstance(data, dict) else None
    if not isinstance(stripe_object, dict):
        raise EventNotUnderstood(_("The event has no object"))
    for name in required:
        if name not in stripe_object:
            raise EventNotUnderstood(_("The event's object has no field %(name)s") % {"name": name})
    for name, types in _TYPES.items():
        if name in stripe_object and not isinstance(stripe_object[name], types):
            raise EventNotUnderstood(
                _("The field %(name)s of the event's object has an unknown type: %(type)s")
                % {"name": name, "type": type(stripe_object[name]).__name__}
            )
    return stripe_object
