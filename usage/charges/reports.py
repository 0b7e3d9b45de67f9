"""Reports of incorrect charges (FLICK-10): a user reports, staff answer and may return the credits.

Invariants: a report is answered once; credits are returned through `billing.ledger.reverse` with the report's
idempotency key, so that they are returned once; the answer, the credits and the e-mail are one transaction.
"""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts.models import Account, User
from billing import ledger
from billing.models import Charge
from billing.notifications import emails
from core.amounts import plain
from core.errors import Refusal
from usage import selectors
from usage.models import ChargeReport


class AlreadyReported(Refusal):
    """The charge has an open report."""

    code = "already_reported"

    def __init__(self) -> None:
        super().__init__(_("This charge was already reported and is being reviewed."))


class AlreadyAnswered(Exception):
    """The report is already answered."""

    def __init__(self) -> None:
        super().__init__(_("This report was already answered. See the answer below."))


def open_report(charge: Charge, *, reason: str, reporter_id: UUID | None, now: datetime) -> ChargeReport:
    """Report a problem with a charge. Raises AlreadyReported while an earlier report is open."""
    with transaction.atomic():
        # The account's row serializes concurrent reports.
        Account.objects.select_for_update(no_key=True).get(pk=charge.account_id)
        if ChargeReport.objects.filter(charge_id=charge.pk, status=ChargeReport.Status.OPEN).exists():
            raise AlreadyReported
        return ChargeReport.objects.create(
            account_id=charge.account_id,
            charge_id=charge.pk,
            reporter_id=reporter_id,
            reason=reason,
            created_at=now,
        )


def answer(
    report_id: UUID,
    *,
    text: str,
    by: User,
    now: datetime,
    return_credits: bool = False,
    credits: Decimal | None = None,
) -> ChargeReport:
    """Answer a report and e-mail the account's owners and the reporter.

    With `return_credits`, return `credits` of the charge, or all that is left of it when None.
    Raises AlreadyAnswered, ledger.NotReversible.
    """
    returned = Decimal(0)
    with transaction.atomic():
        report = ChargeReport.objects.select_for_update(no_key=True).get(pk=report_id)
        if report.status != ChargeReport.Status.OPEN:
            raise AlreadyAnswered
        if return_credits:
            correction = ledger.reverse(
                account_id=report.account_id,
                charge_id=report.charge_id,
                credits=credits,
                key=f"report:{report.pk}",
                reason=text[:500],
                actor=by.public_id,
                now=now,
            )
            returned = correction.credits
        report.status = ChargeReport.Status.RETURNED if return_credits else ChargeReport.Status.ANSWERED
        report.answer, report.answered_by, report.answered_at = text, by, now
        report.save(update_fields=["status", "answer", "answered_by", "answered_at"])
        _queue_email(report, returned, now)
    return report


def _queue_email(report: ChargeReport, returned: Decimal, now: datetime) -> None:
    charge = Charge.objects.get(account_id=report.account_id, pk=report.charge_id)
    emails.queue(
        account_id=report.account_id,
        template="report_answered",
        key=f"report:{report.pk}",
        context={
            "service": selectors.service_names([charge.service])[charge.service],
            "charge": charge.public_id,
            "reason": report.reason,
            "answer": report.answer,
            "returned": plain(returned) if returned else "",
        },
        also_to=[report.reporter.email] if report.reporter else [],
        now=now,
    )


def of(charge: Charge) -> QuerySet[ChargeReport]:
    """The reports of a charge, newest first."""
    found = ChargeReport.objects.filter(account_id=charge.account_id, charge_id=charge.pk)
    return found.select_related("reporter").order_by("-created_at", "-id")


def newest(charge: Charge) -> ChargeReport | None:
    """The latest report of a charge, or None."""
    return next(iter(of(charge)[:1]), None)
