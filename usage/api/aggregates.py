"""/usage: credits and charges per interval and group."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request

from accounts import zones
from accounts.authentication import account_of
from accounts.models import Account
from core import json_body
from core.amounts import plain
from core.endpoint import Endpoint, query_of
from core.fields import AccountQuery, instant_or_none
from core.problems import field_problem
from usage.api import request_schemas, response_schemas
from usage.dashboard import aggregates
from usage.sums.columns import DIMENSIONS

DEFAULT_DAYS = 30


class UsageQuery(AccountQuery):
    group_by = serializers.ChoiceField(choices=list(DIMENSIONS), required=False)
    interval = serializers.ChoiceField(choices=list(aggregates.INTERVALS), required=False)
    to = request_schemas.Moment(required=False)
    timezone = serializers.CharField(
        required=False, max_length=64, help_text="IANA name. Default: the account's zone."
    )

    def get_fields(self) -> Any:
        return super().get_fields() | {"from": request_schemas.Moment(required=False)}


class Usage(Endpoint):
    """Credits and charges by service, project, conversation, member or key, per hour, day or month."""

    scopes = {"GET": "read"}

    @extend_schema(parameters=[UsageQuery], responses=response_schemas.UsageSums)
    def get(self, request: Request) -> HttpResponse:
        query = query_of(request, UsageQuery)
        account_id = account_of(request)
        zone = self._zone(query, account_id)
        interval = query.get("interval", "")
        start, end = self._range(query, interval)
        try:
            sums = aggregates.interval_totals(
                account_id,
                start=start,
                end=end,
                group_by=query.get("group_by", ""),
                interval=interval,
                zone=zone,
            )
        except aggregates.TooManyRows:
            raise field_problem(
                "from", "range_too_long", _("The result is too large. Request a shorter period.")
            ) from None
        data: list[response_schemas.UsageSum] = [
            {
                "start": instant_or_none(item.start),
                "group": item.group,
                "credits": plain(item.credits),
                "charges": item.charges,
            }
            for item in sums
        ]
        total: response_schemas.UsageTotal = {
            "credits": plain(sum((item.credits for item in sums), Decimal(0))),
            "charges": sum(item.charges for item in sums),
        }
        answer: response_schemas.UsageSums = {
            "data": data,
            "has_more": False,
            "next_cursor": None,
            "total": total,
            "timezone": str(zone),
        }
        return json_body.answer(answer)

    def _zone(self, query: dict[str, Any], account_id: Any) -> ZoneInfo:
        name = query.get("timezone")
        if name is None:
            name = Account.objects.values_list("zone", flat=True).get(pk=account_id)
        elif not zones.is_valid(name):
            raise field_problem(
                "timezone", "unknown_zone", _("Send an IANA time zone such as “Europe/Berlin”.")
            )
        return ZoneInfo(name)

    def _range(self, query: dict[str, Any], interval: str) -> tuple[datetime, datetime]:
        end = query.get("to", self.now)
        start = query.get("from", end - timedelta(days=DEFAULT_DAYS))
        if start >= end:
            raise field_problem("to", "invalid", _("The end must be later than the start."))
        longest = aggregates.LONGEST_DAYS[interval]
        if end - start > timedelta(days=longest):
            raise field_problem(
                "from", "range_too_long", _("Request at most %(days)s days at a time.") % {"days": longest}
            )
        return start, end
