"""What clients send: the shapes of bodies and queries."""

from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from billing.models import Entry, Grant
from core import json_body
from core.fields import Credits, Flag, Instant, StrictSerializer, Text, WholeNumber
from core.pagination import PageQuery

LARGEST_METADATA = 4096  # bytes of its JSON


@extend_schema_field({"type": "object", "additionalProperties": {"type": "number", "minimum": 0}})
class Quantities(serializers.Field):
    """`usage`: an object of meters and counts. Which ones, and how many, pricing decides."""

    default_error_messages = {
        "invalid": _("Send an object of meters and counts, such as “input_tokens”: 1200."),
        "too_many": _("A use names at most 20 meters."),
    }

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            self.fail("invalid")
        if len(data) > 20:
            self.fail("too_many")
        return data

    def to_representation(self, value: Any) -> Any:
        return value


@extend_schema_field({"type": "object", "additionalProperties": True})
class SmallObject(serializers.Field):
    """A JSON object of the client's own, kept as it is."""

    default_error_messages = {
        "invalid": _("Send an object."),
        "too_large": _("Send at most 4,096 bytes."),
        "not_finite": _("Every number must be finite."),
    }

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            self.fail("invalid")
        try:
            plain: dict[str, Any] = json_body.without_decimals(data)
        except (ValueError, OverflowError):
            self.fail("not_finite")
        if len(json_body.dumps(plain).encode()) > LARGEST_METADATA:
            self.fail("too_large")
        return plain

    def to_representation(self, value: Any) -> Any:
        return value


class AccountNamed(StrictSerializer):
    """A body without more to say than whose it is."""

    account = Text(
        required=False,
        allow_null=True,
        max_length=255,
        help_text="For platform keys: our id or the caller's own.",
    )


class AccountQuery(StrictSerializer):
    """The query of an address that is no list."""

    account = serializers.CharField(required=False, max_length=255, help_text="Whose; for platform keys.")


class ServiceUse(AccountNamed):
    """A use: which service, how much of it, and on whose behalf."""

    service = Text(max_length=100)
    action = Text(max_length=100, required=False, allow_null=True)
    usage = Quantities(required=False)
    options = SmallObject(required=False, allow_null=True)
    project = Text(max_length=100, required=False, allow_null=True)
    conversation = Text(required=False, allow_null=True)
    member = Text(max_length=100, required=False, allow_null=True)
    metadata = SmallObject(required=False, allow_null=True)
    own_key = Flag(required=False, help_text="The call was paid with the account's own provider key.")


class EstimateInput(ServiceUse):
    text = Text(required=False, max_length=200_000, help_text="Instead of token counts, which are estimated.")


class ChargeInput(ServiceUse):
    estimate = Text(required=False, allow_null=True, max_length=1000, help_text="Pins the rate version.")


class BatchItem(ChargeInput):
    idempotency_key = Text(max_length=255)


class BatchInput(AccountNamed):
    """Items are checked one by one, each on its own; see charges.Batch."""

    data = serializers.ListField(  # type: ignore[assignment]
        child=serializers.JSONField(),
        min_length=1,
        max_length=1000,
        help_text="Uses, each with its idempotency_key.",
    )


class HoldInput(ChargeInput):
    credits = Credits(required=False, help_text="Instead of the largest expected usage.")
    expires_in = WholeNumber(
        required=False, default=900, min_value=60, max_value=86_400, help_text="Seconds."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("usage" in attrs) == ("credits" in attrs):
            raise serializers.ValidationError(
                {"usage": _("Send the amount to hold: either the largest expected usage or credits.")}
            )
        return attrs


class CaptureInput(AccountNamed):
    usage = Quantities(required=False)
    credits = Credits(required=False, zero_allowed=True, help_text="Instead of usage.")
    options = SmallObject(required=False, allow_null=True)
    metadata = SmallObject(required=False, allow_null=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("usage" in attrs) == ("credits" in attrs):
            raise serializers.ValidationError(
                {"usage": _("Send what was used: either the actual usage or credits.")}
            )
        return attrs


class ReversalInput(AccountNamed):
    credits = Credits(required=False, help_text="All that is left of the charge, unless told.")
    reason = Text(required=False, max_length=500)


class ReportInput(AccountNamed):
    reason = Text(max_length=2000)


class GrantInput(StrictSerializer):
    credits = Credits()
    kind = serializers.ChoiceField(choices=Grant.Kind.choices)
    label = Text(required=False)  # type: ignore[assignment]
    expires_at = Instant(required=False, allow_null=True)
    services = serializers.ListField(
        child=Text(max_length=100), required=False, allow_null=True, min_length=1, max_length=100
    )
    reason = Text(required=False, max_length=500)


class Zone(Text):
    """An IANA time zone."""

    default_error_messages = {
        "unknown": _("“{given}” is not a time zone. Send an IANA name such as “Europe/Berlin”.")
    }

    def to_internal_value(self, data: Any) -> str:
        value = super().to_internal_value(data)
        if not is_zone(value):
            self.fail("unknown", given=value[:60])
        return value


def is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return "/" in name or name == "UTC"


class AccountInput(StrictSerializer):
    external_id = Text(required=False, allow_null=True, max_length=255)
    name = Text(required=False, max_length=200)
    zone = Zone(required=False, max_length=64)


class ProjectInput(AccountNamed):
    name = Text(max_length=100)
    daily_limit = Credits(required=False, allow_null=True)


class ProjectChange(AccountNamed):
    name = Text(required=False, max_length=100)
    daily_limit = Credits(required=False, allow_null=True)
    archived = Flag(required=False)


class ProviderKeyInput(AccountNamed):
    provider = Text(max_length=40)
    key = Text(max_length=500, min_length=8)


@extend_schema_field({"type": "string", "format": "date-time"})
class Moment(serializers.CharField):
    """A query's instant; checked like a body's."""

    def to_internal_value(self, data: Any) -> Any:
        # A "+" of a zone's offset arrives as a blank when the client did not escape it.
        return Instant().run_validation(str(data).replace(" ", "+"))


class Span(PageQuery):
    """A list between two instants: `from` is inside, `to` is not."""

    to = Moment(required=False)

    def get_fields(self) -> Any:
        return super().get_fields() | {"from": Moment(required=False)}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "from" in attrs and "to" in attrs and attrs["from"] >= attrs["to"]:
            raise serializers.ValidationError({"to": _("The end must be later than the start.")})
        return attrs


class TransactionQuery(Span):
    kind = serializers.ChoiceField(choices=Entry.Kind.choices, required=False)
    grant = serializers.CharField(required=False, max_length=100)


class ChargeQuery(Span):
    service = serializers.CharField(required=False, max_length=100)
    action = serializers.CharField(required=False, max_length=100)
    project = serializers.CharField(required=False, max_length=100)
    conversation = serializers.CharField(required=False, max_length=200)
    member = serializers.CharField(required=False, max_length=100)
    status = serializers.ChoiceField(choices=["charged", "partly_reversed", "reversed"], required=False)
