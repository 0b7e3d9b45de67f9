"""The meters of the API, and which of them may have fractions.

Invariant: a meter outside `METERS` is never priced; only `seconds` may have a fraction.
"""

from decimal import Decimal

from django.utils.translation import gettext_lazy as _

METERS = {
    "tokens": _("tokens"),
    "input_tokens": _("input tokens"),
    "output_tokens": _("output tokens"),
    "cached_input_tokens": _("cached input tokens"),
    "image_tokens": _("image tokens"),
    "images": _("images"),
    "seconds": _("seconds"),
    "uses": _("uses"),
    "messages": _("messages"),
    "characters": _("characters"),
}
# Singular forms, for "11 credits per image".
SINGULAR = {
    "tokens": _("token"),
    "input_tokens": _("input token"),
    "output_tokens": _("output token"),
    "cached_input_tokens": _("cached input token"),
    "image_tokens": _("image token"),
    "images": _("image"),
    "seconds": _("second"),
    "uses": _("use"),
    "messages": _("message"),
    "characters": _("character"),
}
FRACTIONAL = frozenset({"seconds"})
# Optional: a call without a cache hit or an image does not send them.
OPTIONAL = frozenset({"cached_input_tokens", "image_tokens"})
# Meters that a client may send separately where a price counts them together.
PARTS = {"tokens": ("input_tokens", "output_tokens")}
TOKENS = frozenset({"tokens", "input_tokens", "output_tokens", "cached_input_tokens", "image_tokens"})
LARGEST_QUANTITY = Decimal(10) ** 12
