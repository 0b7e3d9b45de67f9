"""A member of staff views the portal as a customer: read-only, for LONGEST, with a banner (fault Z7).

The session stays that of the member of staff; only requests for the pages of SHOWN see the customer.
Invariants: nothing but GET and HEAD reaches a page; pages outside of SHOWN are refused, so that keys,
secrets, exports, payment and sign-in settings are never shown; members of staff are never viewed; every view
begins with a row in the audit log, which the customer's own data contains; each request checks both again.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib.sessions.backends.base import SessionBase
from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import Account, Membership, User
from core import staff_acts
from core.errors import Refusal

LONGEST = timedelta(minutes=30)
PERMISSION = "accounts.view_as_customer"
BEGIN, END = "account.view_as", "account.view_as_end"
_KEY = "viewing"

# The pages that staff see, by the names of their routes: pages whose GET writes nothing. A new page is not
# shown until it is added here.
SHOWN = frozenset(
    {
        *("dashboard", "counter", "live", "balance_fragment", "spending_fragment", "activity_fragment"),
        *("usage", "model_swap", "plan_advice", "forecast", "refusals", "budgets", "budget", "charge"),
        *("projects", "project", "members", "member", "history", "history_newer"),
        *("billing", "buy", "purchases", "purchase", "invoice", "invoice_pdf", "plans"),
        *("alerts", "monthly_budget", "auto_top_up", "invoice_details", "settings"),
        *("services", "service", "compare", "documentation", "faq", "support"),
    }
)
# Pages of the member of staff, not of the customer; the API has its own authentication.
OWN = ("/admin/", "/accounts/", "/api/", "/sandbox/", "/stripe/")
NEUTRAL = frozenset(
    {"brand_css", "brand_icon", "healthz", "background_health", "readyz"}
)  # show nobody's data


class ViewRefused(Refusal):
    """This account cannot be viewed."""

    code = "view_refused"


@dataclass(frozen=True, kw_only=True)
class Viewing:
    """What the session views, and until when."""

    staff: UUID
    user: UUID
    account: UUID
    until: datetime


def begin(session: SessionBase, *, account: Account, by: User, reason: str, now: datetime) -> Viewing:
    """View the account as its oldest owner who is no member of staff. Raises ViewRefused."""
    if not (by.is_active and by.is_staff and by.has_perm(PERMISSION)):
        raise ViewRefused(_("You may not view customers."))
    if not reason.strip():
        raise ViewRefused(_("Enter a reason."))
    running = of(session)
    if running and running.account != account.pk and now < running.until:
        # a tab that shows the other customer would receive this one's figures
        raise ViewRefused(_("You view another customer. End that view first."))
    members = Membership.objects.filter(account=account, account__erased_at=None, user__is_active=True)
    owner = (
        members.filter(user__is_staff=False, role=Membership.Role.OWNER).order_by("created_at", "pk").first()
    )
    if owner is None:
        raise ViewRefused(
            _("This account has no owner who can be viewed. Members of staff are never viewed.")
        )
    viewing = Viewing(staff=by.pk, user=owner.user_id, account=account.pk, until=now + LONGEST)
    with transaction.atomic():
        shown = {"user": User.public_id_of(owner.user_id), "until": viewing.until, "customer_sees_this": True}
        staff_acts.record(actor_id=by.pk, act=BEGIN, subject=account, reason=reason, after=shown, now=now)
    session[_KEY] = {
        "staff": str(viewing.staff),
        "user": str(viewing.user),
        "account": str(viewing.account),
        "until": viewing.until.isoformat(),
    }
    return viewing


def of(session: SessionBase) -> Viewing | None:
    """What the session views, also when its time is over; None when it views nobody."""
    stored: dict[str, Any] | None = session.get(_KEY)
    if stored is None:
        return None
    ids = {name: UUID(stored[name]) for name in ("staff", "user", "account")}
    return Viewing(**ids, until=datetime.fromisoformat(stored["until"]))


def end(session: SessionBase, *, now: datetime) -> Viewing | None:
    """Stop viewing; the view that ended."""
    viewing = of(session)
    if viewing is None:
        return None
    del session[_KEY]
    account = Account.objects.filter(pk=viewing.account).first()
    with transaction.atomic():
        staff_acts.record(actor_id=viewing.staff, act=END, subject=account, now=now)
    return viewing


def customer(viewing: Viewing, *, staff: User, now: datetime) -> User | None:
    """The customer whom the pages see; None when the view has to end: time is over, or a right is gone."""
    if viewing.staff != staff.pk or now >= viewing.until:
        return None
    if not (staff.is_active and staff.is_staff and staff.has_perm(PERMISSION)):
        return None
    members = Membership.objects.filter(account_id=viewing.account, account__erased_at=None)
    found = members.filter(user_id=viewing.user, user__is_active=True, user__is_staff=False)
    membership = found.select_related("user").first()
    return membership.user if membership else None
