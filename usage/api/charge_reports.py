"""/charges/{id}/reports: report a problem with a charge."""

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from accounts.authentication import principal_of
from billing.models import Charge
from core import json_body
from core.endpoint import Endpoint
from core.fields import instant, instant_or_none
from usage.api import request_schemas, response_schemas
from usage.api.moves import move_of
from usage.charges import reports
from usage.models import ChargeReport


class Reports(Endpoint):
    """Report a problem with a charge. Staff answer and may return the credits."""

    scopes = {"POST": "read"}
    raises = {"POST": (reports.AlreadyReported,)}
    path_ids = {"charge": Charge}

    @extend_schema(request=request_schemas.ReportInput, responses={201: response_schemas.Report})
    def post(self, request: Request, charge: str) -> HttpResponse:
        body = request_schemas.ReportInput.checked(request.data)
        found = move_of(request, Charge, charge, body.get("account"))
        report = reports.open_report(
            found, reason=body["reason"], reporter_id=principal_of(request).member_id, now=self.now
        )
        return json_body.answer(answer_of(report), 201)


def answer_of(report: ChargeReport) -> response_schemas.Report:
    """The report with its answer, as the API shows it."""
    return {
        "id": report.public_id,
        "charge": Charge.public_id_of(report.charge_id),
        "status": report.status,
        "reason": report.reason,
        "answer": report.answer,
        "created_at": instant(report.created_at),
        "answered_at": instant_or_none(report.answered_at),
    }
