"""What clients send about money. Prices and credits are never among it: the server's catalogue says them."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from core.fields import Credits, Flag, StrictSerializer, Text, WholeNumber


class AccountQuery(StrictSerializer):
    account = serializers.CharField(required=False, max_length=255, help_text="Whose; for platform keys.")


class Named(StrictSerializer):
    account = Text(required=False, max_length=255, help_text="Whose; for platform keys.")


class CheckoutInput(Named):
    """One of `pack` and `plan`."""

    pack = Text(required=False, max_length=100)
    plan = Text(required=False, max_length=100)
    currency = Text(required=False, max_length=3, help_text="The catalogue's first, unless told.")
    quantity = WholeNumber(required=False, min_value=1, max_value=100, help_text="Of packs; 1 unless told.")
    interval = serializers.ChoiceField(required=False, choices=["month", "year"], help_text="Of a plan.")
    code = Text(required=False, max_length=40, help_text="A promotion code that makes a pack cheaper.")
    confirm = Flag(required=False, help_text="Leaving a legacy plan, which cannot be entered again.")

    def validate(self, attrs: Any) -> Any:
        if ("pack" in attrs) == ("plan" in attrs):
            raise serializers.ValidationError(
                {"pack": serializers.ErrorDetail(str(_("Name either a pack or a plan.")), code="one_of")}
            )
        return attrs


class RefundInput(Named):
    reason = Text(required=False, max_length=1000, allow_blank=True)


class ChangeInput(Named):
    plan = Text(max_length=100)
    interval = serializers.ChoiceField(required=False, choices=["month", "year"])
    currency = Text(required=False, max_length=3)
    confirm = Flag(required=False, help_text="Needed where the change cannot be undone (a legacy plan).")
    preview = Flag(required=False, help_text="Only say what the change would cost and do.")


class CodeInput(Named):
    code = Text(max_length=40)


class AlertsInput(Named):
    enabled = Flag()
    below = Credits(zero_allowed=True)
    by_email = Flag(required=False)
    extra_addresses = serializers.ListField(child=serializers.EmailField(), required=False, max_length=5)


class AutoTopUpInput(Named):
    """`monthly_amount` in minor units of `currency`."""

    enabled = Flag()
    below = Credits(zero_allowed=True, required=False)
    pack = Text(required=False, max_length=100)
    currency = Text(required=False, max_length=3)
    monthly_amount = WholeNumber(required=False, min_value=0, max_value=10**12)
    monthly_count = WholeNumber(required=False, min_value=1, max_value=1000)
