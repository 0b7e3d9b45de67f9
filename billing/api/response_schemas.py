"""What billing's endpoints answer, as the OpenAPI document tells it; `shapes` writes it."""

from typing import Any

from rest_framework import serializers

from billing.models import AutoTopUp, Purchase, Refund


class Amount(serializers.CharField):
    """Credits in plain decimal notation."""


class PlanPrice(serializers.Serializer):
    interval = serializers.ChoiceField(choices=["month", "year"])
    currency = serializers.CharField()
    amount = serializers.IntegerField(help_text="Minor units.")


class Allowance(serializers.Serializer):
    label = serializers.CharField()  # type: ignore[assignment]
    kind = serializers.CharField()
    credits = Amount()
    period = serializers.ChoiceField(choices=["day", "month", "once"])
    services = serializers.ListField(child=serializers.CharField(), allow_null=True)


class Quota(serializers.Serializer):
    key = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    maximum = serializers.IntegerField()
    period = serializers.CharField()
    used = serializers.IntegerField(required=False)


class Plan(serializers.Serializer):
    key = serializers.CharField()
    name = serializers.CharField()
    summary = serializers.CharField(allow_blank=True)
    features = serializers.ListField(child=serializers.CharField())
    rank = serializers.IntegerField()
    free = serializers.BooleanField()
    legacy = serializers.BooleanField()
    carry_over = serializers.BooleanField()
    current = serializers.BooleanField()
    eligible = serializers.BooleanField(help_text="Whether this account can enter it.")
    prices = PlanPrice(many=True)
    allowances = Allowance(many=True)
    quotas = Quota(many=True)
    unlimited_services = serializers.ListField(child=serializers.CharField())


class Sale(serializers.Serializer):
    label = serializers.CharField()  # type: ignore[assignment]
    ends_at = serializers.DateTimeField()


class PackPrice(serializers.Serializer):
    currency = serializers.CharField()
    amount = serializers.IntegerField(help_text="Minor units, as charged now.")
    list_amount = serializers.IntegerField(help_text="Minor units without the sale.")
    each = serializers.CharField(help_text="Price of one credit in major units.")
    saving_percent = serializers.IntegerField(help_text="Against the smallest pack.")
    sale = Sale(allow_null=True)


class Pack(serializers.Serializer):
    key = serializers.CharField()
    name = serializers.CharField()
    summary = serializers.CharField(allow_blank=True)
    credits = Amount()
    lasts = serializers.CharField()
    popular = serializers.BooleanField()
    paid_plans_only = serializers.BooleanField()
    eligible = serializers.BooleanField()
    prices = PackPrice(many=True)


class Checkout(serializers.Serializer):
    id = serializers.CharField(help_text="The purchase.")
    purchase = serializers.CharField()
    url = serializers.CharField()
    status = serializers.ChoiceField(choices=Purchase.Status.choices)
    amount = serializers.IntegerField()
    currency = serializers.CharField()
    credits = Amount()


class RefundAnswer(serializers.Serializer):
    id = serializers.CharField()
    purchase = serializers.CharField()
    status = serializers.ChoiceField(choices=Refund.Status.choices)
    amount = serializers.IntegerField()
    currency = serializers.CharField()
    credits = Amount()
    reason = serializers.CharField(allow_blank=True)
    decision = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()
    decided_at = serializers.DateTimeField(allow_null=True)


class PurchaseAnswer(serializers.Serializer):
    id = serializers.CharField()
    account = serializers.CharField()
    status = serializers.ChoiceField(choices=Purchase.Status.choices)
    kind = serializers.ChoiceField(choices=Purchase.Kind.choices)
    origin = serializers.ChoiceField(choices=Purchase.Origin.choices)
    pack = serializers.CharField(allow_null=True)
    plan = serializers.CharField(allow_null=True)
    label = serializers.CharField()  # type: ignore[assignment]
    quantity = serializers.IntegerField()
    credits = Amount()
    credits_left = Amount()
    amount = serializers.IntegerField()
    list_amount = serializers.IntegerField()
    refunded = serializers.IntegerField()
    currency = serializers.CharField()
    payment_method = serializers.CharField(allow_null=True)
    invoice_number = serializers.CharField(allow_null=True)
    receipt_url = serializers.CharField(allow_null=True)
    checkout_url = serializers.CharField(allow_null=True)
    failure = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()
    paid_at = serializers.DateTimeField(allow_null=True)
    refunds = RefundAnswer(many=True, required=False)
    refundable = serializers.JSONField(required=False)


class SubscriptionAnswer(serializers.Serializer):
    account = serializers.CharField()
    plan = serializers.CharField()
    name = serializers.CharField()
    state = serializers.CharField()
    legacy = serializers.BooleanField()
    interval = serializers.CharField(allow_null=True)
    amount = serializers.IntegerField()
    currency = serializers.CharField(allow_null=True)
    period_start = serializers.DateTimeField()
    period_end = serializers.DateTimeField(allow_null=True)
    cancel_at_period_end = serializers.BooleanField()
    next_plan = serializers.CharField(allow_null=True)
    recovery_url = serializers.CharField(allow_null=True)
    unlimited_services = serializers.ListField(child=serializers.CharField())
    quotas = Quota(many=True)
    checkout = Checkout(required=False, allow_null=True)


class Redemption(serializers.Serializer):
    code = serializers.CharField()
    kind = serializers.ChoiceField(choices=["promotion", "invitation"])
    credits = Amount()


class AlertsAnswer(serializers.Serializer):
    enabled = serializers.BooleanField()
    below = Amount()
    by_email = serializers.BooleanField()
    extra_addresses = serializers.ListField(child=serializers.EmailField())


class AutoTopUpAnswer(serializers.Serializer):
    enabled = serializers.BooleanField()
    below = Amount()
    pack = serializers.CharField(allow_null=True)
    currency = serializers.CharField(allow_null=True)
    monthly_amount = serializers.IntegerField()
    monthly_count = serializers.IntegerField()
    spent_this_month = serializers.IntegerField()
    bought_this_month = serializers.IntegerField()
    last_outcome = serializers.ChoiceField(choices=AutoTopUp.Outcome.choices, allow_null=True)
    last_tried_at = serializers.DateTimeField(allow_null=True)
    card = serializers.JSONField(allow_null=True)


_lists: dict[type[serializers.Serializer], Any] = {}


def list_of(item: type[serializers.Serializer]) -> Any:
    """A list of that item: data, has_more, next_cursor."""
    if item not in _lists:
        fields = {
            "data": item(many=True),
            "has_more": serializers.BooleanField(),
            "next_cursor": serializers.CharField(allow_null=True),
        }
        _lists[item] = type(f"{item.__name__}List", (serializers.Serializer,), fields)
    return _lists[item]
