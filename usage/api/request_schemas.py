"""Request bodies and query parameters of usage's endpoints: the serializers validate and document them."""

from typing import Any
from uuid import UUID

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request

from accounts import external_ids, zones
from accounts.api_keys import Principal
from accounts.authentication import principal_of
from accounts.models import ApiKey, Project, User
from billing.models import Entry, Grant, Hold
from core import json_body
from core.fields import (
    INSTANT_PATTERN,
    AccountNamed,
    AccountQuery,
    Credits,
    Flag,
    Instant,
    Name,
    StrictSerializer,
    Text,
    WholeNumber,
)
from core.json_types import id_of
from core.pagination import PageQuery
from core.problems import Problem
from pricing.rates import meters
from usage import projects
from usage.charging import Use

LARGEST_METADATA = 4096  # bytes of its JSON
LARGEST_TEXT = 200_000  # characters


def _quantity(meter: str) -> dict[str, Any]:
    kind = "number" if meter in meters.FRACTIONAL else "integer"
    return {"type": kind, "minimum": 0, "maximum": int(meters.LARGEST_QUANTITY)}


@extend_schema_field(
    {
        "type": "object",
        "properties": {meter: _quantity(meter) for meter in meters.METERS},
        "additionalProperties": False,
        "description": "Quantities by meter. A service lists the meters of its price in `lines`.",
        "example": {"input_tokens": 1200, "output_tokens": 640},
    }
)
class Quantities(serializers.Field):
    """`usage`: an object of meters and quantities. Pricing checks the meters of the service."""

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


@extend_schema_field(
    {"type": "object", "additionalProperties": True, "description": "At most 4,096 bytes of JSON."}
)
class SmallObject(serializers.Field):
    """A JSON object whose members the client chooses; stored unchanged."""

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


@extend_schema_field(
    {
        "type": "object",
        "additionalProperties": {"type": ["string", "integer"], "maxLength": 100},
        "description": "Options of the service and their values. A service lists them in `options`.",
        "example": {"quality": "high"},
    }
)
class Options(SmallObject):
    """The chosen options. Pricing checks that the service has them."""


class ServiceUse(AccountNamed):
    """A use of a service: the quantities, and the project and member it is attributed to."""

    service = Text(max_length=100)
    action = Text(max_length=100, required=False, allow_null=True)
    usage = Quantities(required=False)
    options = Options(required=False, allow_null=True)
    project = Text(pattern=id_of(Project).regex, max_length=100, required=False, allow_null=True)
    conversation = Text(required=False, allow_null=True)
    member = Text(pattern=id_of(User).regex, max_length=100, required=False, allow_null=True)
    metadata = SmallObject(required=False, allow_null=True)
    own_key = Flag(required=False, help_text="The use was paid with the account's own provider key.")


class EstimateInput(ServiceUse):
    """A use to price. With a `text` its tokens are estimated, and `usage` may name other meters."""

    at_least_one_of = ("usage", "text")

    text = Text(
        required=False,
        max_length=LARGEST_TEXT,
        help_text="A text whose token count is estimated; instead of `usage`.",
    )


class ChargeInput(ServiceUse):
    """A use to charge."""

    usage = Quantities()
    estimate = Text(
        required=False,
        allow_null=True,
        max_length=1000,
        help_text="Id of an estimate: the charge uses its rate version.",
    )


class BatchItem(ChargeInput):
    idempotency_key = Text(max_length=255)


@extend_schema_field(BatchItem)
class Unchecked(serializers.Field):
    """A batch item: any JSON value, which the batch validates on its own."""

    def run_validation(self, data: Any = None) -> Any:
        return data


class BatchInput(AccountNamed):
    """Uses that are charged independently: an invalid item does not affect the others."""

    data = serializers.ListField(  # type: ignore[assignment]
        child=Unchecked(),
        min_length=1,
        max_length=1000,
        help_text="Uses, each with its own `idempotency_key`.",
    )


class HoldInput(ChargeInput):
    """A use with the amount to hold: either its largest expected usage or credits."""

    exactly_one_of = ("usage", "credits")

    usage = Quantities(required=False)
    credits = Credits(
        required=False, help_text="Amount to hold; instead of `usage`, the largest expected use."
    )
    expires_in = WholeNumber(
        required=False,
        default=900,
        min_value=60,
        max_value=86_400,
        help_text="Seconds until the hold expires; a child expires with its parent at the latest.",
    )
    parent = Text(  # type: ignore[assignment]
        pattern=id_of(Hold).regex,
        required=False,
        allow_null=True,
        max_length=100,
        help_text="A hold of the same account to reserve from, instead of the balance.",
    )


class CaptureInput(AccountNamed):
    """What was used: either the actual usage or credits."""

    exactly_one_of = ("usage", "credits")

    usage = Quantities(required=False)
    credits = Credits(required=False, zero_allowed=True, help_text="Amount to charge; instead of `usage`.")
    options = Options(required=False, allow_null=True)
    metadata = SmallObject(required=False, allow_null=True)


class HoldUsageInput(AccountNamed):
    usage = Quantities(help_text="What has been used so far, in all.")
    options = SmallObject(required=False, allow_null=True)
    metadata = SmallObject(required=False, allow_null=True)


class ReversalInput(AccountNamed):
    credits = Credits(required=False, help_text="Amount to return. Default: all that is left of the charge.")
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
        if not zones.is_valid(value):
            self.fail("unknown", given=value[:60])
        return value


class AccountInput(StrictSerializer):
    external_id = Text(
        required=False,
        allow_null=True,
        max_length=255,
        validators=[external_ids.validate],
        pattern="^(?![a-z]+_[0-9a-f]{32}$)[^/]+$",
        help_text="Your id of the account: not in the form of an id of this API, and without a slash.",
    )
    name = Name(required=False, max_length=200)
    zone = Zone(required=False, max_length=64)


class ProjectInput(AccountNamed):
    name = Name(max_length=100)
    daily_limit = Credits(required=False, allow_null=True)


class ProjectChange(AccountNamed):
    name = Name(required=False, max_length=100)
    daily_limit = Credits(required=False, allow_null=True)
    archived = Flag(required=False)


class ProviderKeyInput(AccountNamed):
    provider = Text(max_length=40)
    key = Text(max_length=500, min_length=8)


@extend_schema_field({"type": "string", "format": "date-time", "pattern": INSTANT_PATTERN})
class Moment(serializers.CharField):
    """A time in a query, with the same rules as in a body."""

    def to_internal_value(self, data: Any) -> Any:
        # A "+" that the client did not escape arrives as a space; before it, a space separates date and time.
        date, rest = str(data)[:11], str(data)[11:]
        return Instant().run_validation(date + rest.replace(" ", "+"))


class PeriodQuery(AccountQuery):
    """A period: `from` is inclusive, `to` exclusive."""

    to = Moment(required=False)

    def get_fields(self) -> Any:
        return super().get_fields() | {"from": Moment(required=False)}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "from" in attrs and "to" in attrs and attrs["from"] >= attrs["to"]:
            raise serializers.ValidationError({"to": _("The end must be later than the start.")})
        return attrs


class Span(PeriodQuery, PageQuery):
    """A list of a period."""


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


def use_of(request: Request, account_id: UUID, body: dict[str, Any]) -> Use:
    """The use described by a validated ServiceUse. Raises UnknownProject, UnknownMember, Problem (403)."""
    principal = principal_of(request)
    project, member = body.get("project"), body.get("member")
    return Use(
        account_id=account_id,
        service=body["service"],
        action=body.get("action") or "",
        usage=body.get("usage") or {},
        options=body.get("options") or {},
        project_id=projects.live_project_id(account_id, project) if project else None,
        member_id=_member(principal, account_id, member),
        api_key_id=None if principal.is_session else principal.id,
        conversation=body.get("conversation") or "",
        metadata=body.get("metadata") or {},
        own_key=body.get("own_key", False),
        estimate=body.get("estimate") or "",
    )


def _member(principal: Principal, account_id: UUID, public_id: str | None) -> UUID | None:
    """The member `public_id`, or the member whose key or session it is.

    Charging for another member requires the scope manage: otherwise a member could evade the own limit.
    """
    if not public_id:
        return principal.member_id
    member_id = projects.member_id(account_id, public_id)
    if (
        member_id != principal.member_id
        and not principal.is_platform
        and not principal.may(ApiKey.Scope.MANAGE)
    ):
        raise Problem(
            403,
            "missing_scope",
            str(_("This key needs the scope “manage” to charge for another member.")),
            scope="manage",
        )
    return member_id
