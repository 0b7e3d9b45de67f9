"""Request fields, stricter than those of REST framework: no value is guessed, trimmed or converted.

Invariants: a text is a JSON string; an amount is a string in plain decimal notation, never a JSON number,
which clients would write as a float; a time has a zone; an undeclared field is an error.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

from django.utils.translation import gettext_lazy as _
from drf_spectacular.drainage import set_override
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from core import amounts
from core.problems import field_problem

ACCOUNT_HELP = "For platform keys: id or external id. Optional where the path names one object."
EARLIEST_YEAR, LATEST_YEAR = 2000, 2200  # keeps zone arithmetic within the range of datetime
UP_TO_A_BILLION = r"(1000000000(\.0{1,6})?|[0-9]{1,9}(\.[0-9]{1,6})?)"  # amounts.LARGEST
CURRENCY_PATTERN = "^[A-Za-z]{3}$"
INSTANT_PATTERN = (
    r"^(200[1-9]|20[1-9][0-9]|21[0-9]{2})-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})$"
)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


class StrictSerializer(serializers.Serializer):
    """A request body or query.

    `checked` validates with one shared instance of the class, because REST framework copies every field for
    each new instance, which costs more than the validation.
    """

    exactly_one_of: ClassVar[tuple[()] | tuple[str, str]] = ()  # of these two fields a request has one
    at_least_one_of: ClassVar[tuple[()] | tuple[str, str]] = ()
    only_with: ClassVar[Mapping[str, str]] = {}  # field -> the field without which it has no effect
    _shared: "StrictSerializer"

    @classmethod
    def checked(cls, data: Any) -> dict[str, Any]:
        """The validated values. Raises ValidationError, or Problem when the data is not an object."""
        shared: StrictSerializer | None = cls.__dict__.get("_shared")
        if shared is None:
            shared = cls._shared = cls()
        if not isinstance(data, dict):
            raise field_problem("", "not_an_object", str(_("The body must be a JSON object.")))
        values: dict[str, Any] = shared.run_validation(data)
        return values

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and not data.keys() <= self.fields.keys():
            unknown = [name for name in data if name not in self.fields]
            raise serializers.ValidationError(
                {
                    str(name)[:100]: [
                        serializers.ErrorDetail(str(_("This field is not supported.")), code="unknown_field")
                    ]
                    for name in unknown[:20]
                }
            )
        return super().to_internal_value(data)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        one, some = self.exactly_one_of, self.at_least_one_of
        if one and sum(name in attrs for name in one) != 1:
            raise _one_of(_("Send exactly one of: %(names)s."), one)
        if some and not any(name in attrs for name in some):
            raise _one_of(_("Send at least one of: %(names)s."), some)
        for name, other in self.only_with.items():
            if name in attrs and other not in attrs:
                text = _("This field is valid only with “%(other)s”.") % {"other": other}
                raise serializers.ValidationError({name: serializers.ErrorDetail(text, code="no_effect")})
        return attrs


def _one_of(message: Any, names: tuple[str, ...]) -> serializers.ValidationError:
    text = message % {"names": ", ".join(names)}
    return serializers.ValidationError({names[0]: serializers.ErrorDetail(text, code="one_of")})


class AccountQuery(StrictSerializer):
    """The query parameter of every endpoint; lists add theirs."""

    account = serializers.CharField(required=False, max_length=255, help_text=ACCOUNT_HELP)


class Text(serializers.CharField):
    """A JSON string, unchanged. `pattern` documents the form; whoever uses the value checks it."""

    def __init__(self, *, pattern: str = "", **options: Any) -> None:
        options.setdefault("trim_whitespace", False)
        options.setdefault("max_length", 200)
        super().__init__(**options)
        if pattern:
            set_override(self, "field", {"type": "string", "pattern": pattern})

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return data


class Name(Text):
    """A text that is not only white space."""

    def __init__(self, **options: Any) -> None:
        super().__init__(pattern=r"\S", **options)

    def to_internal_value(self, data: Any) -> str:
        value = super().to_internal_value(data)
        if not value.strip():
            self.fail("blank")
        return value


class AccountNamed(StrictSerializer):
    """A body that may name the account."""

    account = Text(required=False, allow_null=True, max_length=255, help_text=ACCOUNT_HELP)


class Flag(serializers.BooleanField):
    """true or false; "yes" and 1 are errors."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class WholeNumber(serializers.IntegerField):
    """A JSON number without a fraction, such as 3 or 3.0; true is an error."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, Decimal) and data.is_finite() and data == data.to_integral_value():
            return int(data)
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return data


class Digits(serializers.IntegerField):
    """A whole number of a query: ASCII digits, no sign, fraction, space or underscore."""

    def to_internal_value(self, data: Any) -> int:
        if not re.fullmatch("[0-9]{1,9}", str(data), re.ASCII):
            self.fail("invalid")
        return int(data)


class Credits(serializers.Field):
    """An amount of credits above zero and at most core.amounts.LARGEST, as a string: "5.5"."""

    default_error_messages = {
        "not_a_string": _("Send credits as a string in plain decimal notation, such as “5.5”."),
        "not_an_amount": _(
            "“{given}” is not a valid amount. Use digits, at most six decimals and no sign, such as “5.5”."
        ),
        "not_positive": _("An amount must be above zero."),
        "too_large": _("The largest amount is {largest} credits."),
    }

    def __init__(self, *, zero_allowed: bool = False, **options: Any) -> None:
        self.zero_allowed = zero_allowed
        super().__init__(**options)
        above_zero = "" if zero_allowed else "(?=.*[1-9])"
        set_override(self, "field", {"type": "string", "pattern": f"^{above_zero}{UP_TO_A_BILLION}$"})

    def to_internal_value(self, data: Any) -> Decimal:
        if not isinstance(data, str):
            self.fail("not_a_string")
        value = amounts.parse(data)
        if value is None:
            self.fail("not_an_amount", given=data[:40].encode("ascii", "backslashreplace").decode())
        if value == 0 and not self.zero_allowed:
            self.fail("not_positive")
        if value > amounts.LARGEST:
            self.fail("too_large", largest=amounts.plain(amounts.LARGEST))
        return value

    def to_representation(self, value: Decimal) -> str:
        return amounts.plain(value)


@extend_schema_field({"type": "string", "format": "date-time", "pattern": INSTANT_PATTERN})
class Instant(serializers.Field):
    """An RFC 3339 time with its zone, converted to UTC; digits beyond microseconds are dropped.

    A leap second is the second that follows it.
    """

    default_error_messages = {
        "invalid": _("Send an RFC 3339 time with a zone, such as “2026-11-20T15:00:00Z”."),
        "out_of_range": _("The time must be between the years 2000 and 2200."),
    }

    def to_internal_value(self, data: Any) -> datetime:
        if not isinstance(data, str) or not _INSTANT.fullmatch(data):
            self.fail("invalid")
        try:
            value = _leap_second(data) or datetime.fromisoformat(data.upper())
        except (ValueError, OverflowError):
            self.fail("invalid")
        if not EARLIEST_YEAR < value.year < LATEST_YEAR:
            self.fail("out_of_range")
        return value.astimezone(UTC)

    def to_representation(self, value: datetime) -> str:
        return instant(value)


def _leap_second(text: str) -> datetime | None:
    """The second after a leap second, which only ends a month in UTC (RFC 3339, 5.7); None for other times.

    Raises ValueError for the 61st second of another minute.
    """
    if text[17:19] != "60":
        return None
    value = datetime.fromisoformat(f"{text[:17]}59{text[19:]}".upper()).astimezone(UTC) + timedelta(seconds=1)
    if (value.day, value.hour, value.minute, value.second) != (1, 0, 0, 0):
        raise ValueError("not a leap second")
    return value


def instant(value: datetime) -> str:
    """The time as responses write it: RFC 3339 in UTC, with microseconds unless they are zero."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def instant_or_none(value: datetime | None) -> str | None:
    return None if value is None else instant(value)
