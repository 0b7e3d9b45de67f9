"""What the page of a customer shows: each section is a heading, a link to its list, and rows of cells.

Invariant: a section reads a bounded number of rows by an index, whatever the size of the account.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Model, OuterRef, Subquery
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.text import Truncator
from django.utils.translation import gettext as _

from accounts.models import Account, ApiKey, Membership, Project, User, WebhookEvent
from billing import ledger, selectors
from billing.models import Charge, CreditAdjustment, Dispute, Limit, Mail, Purchase, Refund
from core.models import StaffAct
from core.templatetags.credits import credits
from core.templatetags.money import money

ROWS = 10


@dataclass(frozen=True)
class Section:
    title: str
    columns: list[str]
    rows: list[list[Any]]
    needs: str
    """The permission without which the section is not shown."""
    url: str = ""


@dataclass(frozen=True)
class Times:
    """Shows a time in the customer's zone, and in that of the staff where it differs."""

    customer: ZoneInfo
    staff: ZoneInfo

    def both(self, moment: datetime | None) -> Any:
        if moment is None:
            return "–"
        theirs, own = (moment.astimezone(zone) for zone in (self.customer, self.staff))
        stamp, text = moment.isoformat(timespec="seconds"), _clock(theirs)
        if theirs.utcoffset() == own.utcoffset():
            return format_html('<time datetime="{}">{}</time>', stamp, text)
        form = '<time datetime="{}">{}</time><br><small>{}</small>'
        return format_html(form, stamp, text, _("yours: %(time)s") % {"time": _clock(own)})


def _short(text: str) -> str:
    return Truncator(text).chars(80) or "–"


def _clock(local: datetime) -> str:
    return f"{date_format(local.date(), 'SHORT_DATE_FORMAT')} {local:%H:%M} {local.tzname()}"


@dataclass
class Names:
    """Names of members, keys and projects by id, for the limits."""

    by_id: dict[str, str] = field(default_factory=dict)

    def add(self, rows: Iterable[tuple[Any, str]]) -> None:
        self.by_id |= {str(pk): name for pk, name in rows}


def link(row: Model, text: object) -> Any:
    address = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])
    return format_html(
        '<a class="text-primary-600 dark:text-primary-500 underline" href="{}">{}</a>', address, text
    )


def _list(model: type[Model], account: Account) -> str:
    """The admin's list of these rows of the account."""
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return f"{address}?account__id__exact={account.pk}"


def grants(balance: ledger.Balance, times: Times) -> Section:
    rows = [
        [
            number,
            grant.label,
            grant.kind,
            credits(grant.remaining),
            credits(grant.held),
            credits(grant.credits),
            ", ".join(grant.services or []) or _("all"),
            times.both(grant.expires_at),
        ]
        for number, grant in enumerate(balance.grants[:50], start=1)
    ]
    columns = [
        _("Order"),
        _("Grant"),
        _("Kind"),
        _("Left"),
        _("Held"),
        _("Granted"),
        _("Services"),
        _("Expires"),
    ]
    return Section(_("Grants in the order in which they are spent"), columns, rows, "billing.view_grant")


def charges(account: Account, times: Times) -> Section:
    found = Charge.objects.filter(account=account).order_by("-created_at", "-pk")[:ROWS]
    rows = [
        [link(one, one.public_id), one.service, credits(one.credits), one.status, times.both(one.created_at)]
        for one in found.defer("detail", "drawn")
    ]
    columns = [_("Charge"), _("Service"), _("Credits"), _("Status"), _("Time")]
    return Section(_("Newest charges"), columns, rows, "billing.view_charge")


def purchases(account: Account, times: Times) -> Section:
    found = selectors.purchases_of(account.pk)[:ROWS]
    rows = [
        [
            link(one, one.label),
            one.get_status_display(),
            Dispute.Status(one.dispute_status).label if one.dispute_status else "–",
            money(one.amount, one.currency),
            money(one.refunded, one.currency) if one.refunded else "–",
            one.invoice_number or "–",
            one.stripe_payment_id or "–",
            times.both(one.paid_at or one.created_at),
        ]
        for one in found
    ]
    columns = [
        _("Purchase"),
        _("Status"),
        _("Dispute"),
        _("Amount"),
        _("Refunded"),
        _("Invoice"),
        _("Payment"),
        _("Time"),
    ]
    return Section(_("Purchases"), columns, rows, "billing.view_purchase", _list(Purchase, account))


def refunds(account: Account, times: Times) -> Section:
    found = Refund.objects.filter(account=account).select_related("purchase").order_by("-created_at")[:ROWS]
    rows = [
        [
            link(one, one.purchase.label),
            one.get_status_display(),
            money(one.amount, one.currency),
            _short(one.buyer_reason or one.decision),
            times.both(one.created_at),
        ]
        for one in found
    ]
    columns = [_("Purchase"), _("Status"), _("Amount"), _("Reason"), _("Time")]
    return Section(_("Refunds"), columns, rows, "billing.view_refund")


def disputes(account: Account, times: Times) -> Section:
    found = Dispute.objects.filter(account=account).select_related("purchase").order_by("-created_at")[:ROWS]
    rows = [
        [
            link(one, one.purchase.label),
            one.get_status_display(),
            money(one.amount, one.currency),
            _short(one.reason),
            times.both(one.evidence_due_at),
        ]
        for one in found
    ]
    columns = [_("Purchase"), _("Status"), _("Amount"), _("Reason"), _("Evidence until")]
    return Section(_("Disputes"), columns, rows, "billing.view_dispute")


def adjustments(account: Account, times: Times) -> Section:
    found = CreditAdjustment.objects.filter(account=account).select_related("requested_by", "decided_by")
    rows = [
        [
            link(one, credits(one.credits)),
            one.get_status_display(),
            _short(one.reason),
            one.requested_by,
            one.decided_by or "–",
            times.both(one.created_at),
        ]
        for one in found.order_by("-created_at")[:ROWS]
    ]
    columns = [_("Credits"), _("Status"), _("Reason"), _("Requested by"), _("Decided by"), _("Time")]
    return Section(_("Adjustments"), columns, rows, "billing.view_creditadjustment")


def mails(account: Account, times: Times) -> Section:
    found = Mail.objects.filter(account=account).order_by("-pk")[:ROWS].defer("context")
    rows = [
        [link(one, one.template), ", ".join(one.recipients), times.both(one.sent_at), _short(one.error)]
        for one in found
    ]
    return Section(_("E-mails"), [_("E-mail"), _("To"), _("Sent"), _("Error")], rows, "billing.view_mail")


def events(account: Account, times: Times) -> Section:
    found = WebhookEvent.objects.filter(account=account).order_by("-pk")[:ROWS]
    labels = dict(WebhookEvent.Type.choices)
    rows = [[labels.get(one.type, one.type), one.public_id, times.both(one.created_at)] for one in found]
    return Section(_("Events"), [_("Event"), _("Id"), _("Time")], rows, "accounts.view_webhookdelivery")


def members(account: Account, times: Times, names: Names) -> Section:
    found = list(
        Membership.objects.filter(account=account).select_related("user").order_by("created_at")[:50]
    )
    names.add((one.user_id, one.user.email) for one in found)
    rows = [
        [
            link(one.user, one.user.email),
            one.get_role_display(),
            one.user.shown_name,
            _("active") if one.user.is_active else _("deactivated"),
            credits(one.monthly_limit) if one.monthly_limit is not None else "–",
            times.both(one.user.last_login),
        ]
        for one in found
    ]
    columns = [_("Member"), _("Role"), _("Name"), _("State"), _("Monthly limit"), _("Last sign-in")]
    return Section(_("Members"), columns, rows, "accounts.view_membership", _list(Membership, account))


def keys(account: Account, times: Times, names: Names) -> Section:
    found = list(ApiKey.objects.filter(account=account).order_by("revoked_at", "-created_at")[:20])
    names.add((one.pk, one.name) for one in found)
    rows = [
        [
            link(one, one.name),
            f"{one.prefix}…",
            ", ".join(one.scope_labels),
            times.both(one.revoked_at) if one.revoked_at else _("active"),
            times.both(one.last_used_at),
        ]
        for one in found
    ]
    columns = [_("Key"), _("Prefix"), _("Scopes"), _("Revoked"), _("Last used")]
    return Section(_("API keys"), columns, rows, "accounts.view_apikey", _list(ApiKey, account))


def limits(account: Account, names: Names) -> Section:
    found = list(
        Limit.objects.filter(account=account).exclude(kind=Limit.Kind.QUOTA).order_by("kind", "pk")[:50]
    )
    projects = [one.subject for one in found if one.kind == Limit.Kind.PROJECT]
    if projects:
        names.add(Project.objects.filter(account=account, pk__in=projects).values_list("pk", "name"))
    rows = [
        [
            one.get_kind_display(),
            names.by_id.get(one.subject, "" if one.kind == Limit.Kind.ACCOUNT else one.subject),
            one.get_period_display(),
            credits(one.used),
            credits(one.maximum),
        ]
        for one in found
    ]
    columns = [_("Limit of"), _("Name"), _("Period"), _("Used"), _("At most")]
    return Section(_("Limits"), columns, rows, "billing.view_wallet")


def acts(account: Account, times: Times) -> Section:
    email = Subquery(User.objects.filter(pk=OuterRef("actor_id")).values("email"))
    found = (
        StaffAct.objects.filter(account_id=account.pk).annotate(email=email).order_by("-created_at")[:ROWS]
    )
    rows = [[link(one, one.act), one.email, _short(one.reason), times.both(one.created_at)] for one in found]
    columns = [_("Act"), _("Person"), _("Reason"), _("Time")]
    return Section(_("Acts of staff"), columns, rows, "core.view_staffact")
