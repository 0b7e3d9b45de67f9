"""What the API answers, as its OpenAPI document tells it. Answers are written by `shapes`; a test holds every
answer of the suite against these."""

from typing import Any

from rest_framework import serializers

from billing.models import Entry, Grant, Hold
from usage.models import ChargeReport

KINDS = Grant.Kind.choices


class Amount(serializers.CharField):
    """Credits in plain decimal notation: "5.5"."""

    def __init__(self, **options: Any) -> None:
        super().__init__(help_text="Credits, plain decimal notation, at most six decimals.", **options)


class Problem(serializers.Serializer):
    """RFC 9457. Some codes carry more members, such as `needed` and `available`."""

    class FieldError(serializers.Serializer):
        field = serializers.CharField(allow_blank=True)
        code = serializers.CharField()
        message = serializers.CharField()

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    code = serializers.CharField()
    request_id = serializers.CharField(allow_blank=True)
    errors = FieldError(many=True, required=False)  # type: ignore[assignment]


class RateVersion(serializers.Serializer):
    version = serializers.CharField()
    effective_at = serializers.DateTimeField()


class Line(serializers.Serializer):
    meter = serializers.CharField()
    quantity = serializers.JSONField(help_text="A number; a string where it has a fraction.")
    unit_credits = Amount()
    per = serializers.IntegerField()
    multipliers = serializers.DictField(child=Amount())
    credits = Amount()
    blocks = serializers.IntegerField(required=False, help_text="Begun blocks, where whole blocks count.")


class Drawn(serializers.Serializer):
    grant = serializers.CharField()
    kind = serializers.ChoiceField(choices=KINDS)
    credits = Amount()


class Report(serializers.Serializer):
    id = serializers.CharField()
    charge = serializers.CharField()
    status = serializers.ChoiceField(choices=ChargeReport.Status.choices)
    reason = serializers.CharField()
    answer = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()
    answered_at = serializers.DateTimeField(allow_null=True)


class Attributed(serializers.Serializer):
    """What charges and holds both tell."""

    id = serializers.CharField()
    account = serializers.CharField()
    service = serializers.CharField()
    action = serializers.CharField(allow_null=True)
    credits = Amount()
    created_at = serializers.DateTimeField()
    lines = Line(many=True)
    rate = RateVersion()
    usage = serializers.JSONField()
    options = serializers.JSONField()
    metadata = serializers.JSONField()
    drawn = Drawn(many=True)
    project = serializers.CharField(allow_null=True)
    conversation = serializers.CharField(allow_null=True)
    member = serializers.CharField(allow_null=True)


class Charge(Attributed):
    status = serializers.ChoiceField(choices=["charged", "partly_reversed", "reversed"])
    covered_by = serializers.ChoiceField(choices=["unlimited", "own_key"], allow_null=True)
    uncollected = Amount()
    returned = Amount()
    balance_before = Amount()
    balance_after = Amount()
    hold = serializers.CharField(allow_null=True)
    api_key = serializers.CharField(allow_null=True)
    report = Report(required=False, allow_null=True)


class BatchOutcome(serializers.Serializer):
    class BatchItemOutcome(serializers.Serializer):
        status = serializers.IntegerField(help_text="201, or the status of `error`.")
        charge = Charge(required=False)
        error = Problem(required=False)
        replayed = serializers.BooleanField(required=False)

    data = BatchItemOutcome(many=True)  # type: ignore[assignment]


class Returned(serializers.Serializer):
    grant = serializers.CharField()
    credits = Amount()


class Reversal(serializers.Serializer):
    id = serializers.CharField()
    charge = serializers.CharField()
    credits = Amount()
    returned_to = Returned(many=True)
    reason = serializers.CharField(allow_blank=True)
    balance_after = Amount()
    created_at = serializers.DateTimeField()


class HoldAnswer(Attributed):
    status = serializers.ChoiceField(choices=Hold.Status.choices)
    expires_at = serializers.DateTimeField()
    closed_at = serializers.DateTimeField(allow_null=True)
    charge = serializers.CharField(allow_null=True)


class BalanceGrant(serializers.Serializer):
    id = serializers.CharField()
    kind = serializers.ChoiceField(choices=KINDS)
    label = serializers.CharField()  # type: ignore[assignment]
    granted = Amount()
    remaining = Amount()
    held = Amount()
    expires_at = serializers.DateTimeField(allow_null=True)
    services = serializers.ListField(child=serializers.CharField(), allow_null=True)


class AnyGrant(BalanceGrant):
    reason = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()


class Daily(serializers.Serializer):
    amount = Amount()
    remaining = Amount()
    resets_at = serializers.DateTimeField()


class Balance(serializers.Serializer):
    account = serializers.CharField()
    available = Amount()
    held = Amount()
    debt = Amount()
    as_of = serializers.DateTimeField()
    grants = BalanceGrant(many=True)
    daily = Daily(allow_null=True)
    unlimited_services = serializers.ListField(child=serializers.CharField())
    low = serializers.BooleanField()


class Transaction(serializers.Serializer):
    id = serializers.CharField()
    kind = serializers.ChoiceField(choices=Entry.Kind.choices)
    grant = serializers.CharField()
    credits = serializers.CharField(help_text="Into the grant, or, with a minus sign, out of it.")
    grant_after = Amount()
    balance_after = Amount()
    charge = serializers.CharField(allow_null=True)
    hold = serializers.CharField(allow_null=True)
    reason = serializers.CharField(allow_blank=True)
    actor = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()


class Account(serializers.Serializer):
    id = serializers.CharField()
    external_id = serializers.CharField(allow_null=True)
    name = serializers.CharField(allow_blank=True)
    kind = serializers.CharField()
    zone = serializers.CharField()
    plan = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()


class Project(serializers.Serializer):
    id = serializers.CharField()
    name = serializers.CharField()
    daily_limit = serializers.CharField(allow_null=True)
    archived = serializers.BooleanField()
    created_at = serializers.DateTimeField()


class ProviderKey(serializers.Serializer):
    id = serializers.CharField()
    provider = serializers.CharField()
    last_four = serializers.CharField()
    created_at = serializers.DateTimeField()


class UsageSum(serializers.Serializer):
    start = serializers.DateTimeField(
        allow_null=True, help_text="Beginning of the interval, if one was asked for."
    )
    group = serializers.CharField(
        allow_null=True, help_text="The service, project, … if a group was asked for."
    )
    credits = Amount()
    charges = serializers.IntegerField()


class UsageSums(serializers.Serializer):
    data = UsageSum(many=True)  # type: ignore[assignment]
    has_more = serializers.BooleanField()
    next_cursor = serializers.CharField(allow_null=True)
    total = serializers.DictField()
    timezone = serializers.CharField()


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
