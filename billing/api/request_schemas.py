"""Request bodies and query parameters of billing's endpoints. Prices and credits come from the catalogue."""

from rest_framework import serializers

from billing.models import Subscription
from core.fields import CURRENCY_PATTERN, AccountNamed, Credits, Flag, Text, WholeNumber


class CheckoutInput(AccountNamed):
    """Either the pack or the plan to buy."""

    exactly_one_of = ("pack", "plan")
    only_with = {"quantity": "pack", "code": "pack", "preview": "pack", "interval": "plan", "confirm": "plan"}

    pack = Text(required=False, max_length=100)
    plan = Text(required=False, max_length=100)
    currency = Text(
        required=False,
        pattern=CURRENCY_PATTERN,
        max_length=3,
        help_text="ISO 4217. Default: the catalogue's first currency.",
    )
    quantity = WholeNumber(required=False, min_value=1, max_value=100, help_text="Packs. Default: 1.")
    interval = serializers.ChoiceField(
        required=False, choices=["month", "year"], help_text="Interval of a plan."
    )
    code = Text(required=False, max_length=40, help_text="A promotion code for a discount on a pack.")
    confirm = Flag(required=False, help_text="Confirms leaving a legacy plan, which cannot be undone.")
    preview = Flag(required=False, help_text="Only returns what the packs would cost; nothing is created.")


class RefundInput(AccountNamed):
    reason = Text(required=False, max_length=1000, allow_blank=True)


class ChangeInput(AccountNamed):
    plan = Text(max_length=100)
    interval = serializers.ChoiceField(required=False, choices=["month", "year"])
    currency = Text(required=False, pattern=CURRENCY_PATTERN, max_length=3)
    confirm = Flag(required=False, help_text="Confirms leaving a legacy plan, which cannot be undone.")
    preview = Flag(required=False, help_text="Return the effect of the change without making it.")


class CancelInput(AccountNamed):
    feedback = serializers.ChoiceField(
        required=False, choices=Subscription.Feedback.values, help_text="Why the plan is cancelled."
    )
    comment = Text(required=False, max_length=500, allow_blank=True, help_text="The member's own words.")


class PauseInput(AccountNamed):
    months = WholeNumber(min_value=1, max_value=12, help_text="Months without payment and credits.")


class CodeInput(AccountNamed):
    code = Text(max_length=40)


class AlertsInput(AccountNamed):
    enabled = Flag()
    below = Credits(zero_allowed=True)
    also_below = serializers.ListField(
        child=Credits(), required=False, max_length=4, help_text="Further thresholds, each with an e-mail."
    )
    by_email = Flag(required=False)
    extra_addresses = serializers.ListField(child=serializers.EmailField(), required=False, max_length=5)


class MonthlyBudgetInput(AccountNamed):
    credits = Credits(allow_null=True, help_text="For a calendar month; null for no budget.")
    pauses = Flag(required=False, help_text="Refuse what exceeds the budget. Default: false.")


class AutoTopUpInput(AccountNamed):
    """Settings of the automatic top-up. `monthly_amount`: minor units of `currency`."""

    enabled = Flag()
    below = Credits(zero_allowed=True, required=False)
    pack = Text(required=False, max_length=100)
    currency = Text(required=False, pattern=CURRENCY_PATTERN, max_length=3)
    monthly_amount = WholeNumber(required=False, min_value=0, max_value=10**12)
    monthly_count = WholeNumber(required=False, min_value=1, max_value=1000)
