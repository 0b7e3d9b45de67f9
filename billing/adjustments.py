"""Credits that staff give and take: at once up to a threshold, above it after the approval of another person.

Invariants: an adjustment moves credits once, through `billing.ledger.adjust`, in the transaction that marks
it applied and records it in the audit log; nobody approves their own; its terms do not change after the
request; small adjustments by one person within a day count together against the threshold; taking more than
the balance is refused. Lock order: the person, the adjustment, the wallet.
"""

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.db import transaction
from django.db.models import Sum
from django.db.models.functions import Abs
from django.utils.translation import gettext as _

from accounts.models import Account, Membership, User
from billing import ledger
from billing.models import CreditAdjustment, Wallet
from core import staff_acts
from core.amounts import plain
from core.errors import Refusal

LIFETIME = timedelta(days=3)
WINDOW = timedelta(days=1)
APPROVE = "billing.change_creditadjustment"
Status = CreditAdjustment.Status


class AdjustmentRefused(Refusal):
    """An adjustment cannot be requested or decided (409). `field`: where a form shows it."""

    code = "adjustment_refused"

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


def make(
    *, account: Account, credits: Decimal, reason: str, token: uuid.UUID, by: User, now: datetime
) -> CreditAdjustment:
    """Give (positive) or take (negative) credits, or request it where another person has to approve.

    A token that was sent before returns its adjustment and changes nothing. Raises AdjustmentRefused.
    """
    with transaction.atomic():
        by = _active(by)  # locked: adjustments of one person are counted one after the other
        earlier = CreditAdjustment.objects.filter(token=token).first()
        if earlier is not None:
            return _same(earlier, account=account, credits=credits, by=by)
        if account.erased_at is not None:
            raise AdjustmentRefused(_("This account was erased."))
        adjustment = CreditAdjustment.objects.create(
            account=account,
            credits=credits,
            reason=reason,
            token=token,
            needs_approval=needs_approval(credits, account_id=account.pk, by=by, now=now),
            requested_by=by,
            created_at=now,
            expires_at=now + LIFETIME,
        )
        if adjustment.needs_approval:
            _require_possible(adjustment)
            _record(adjustment, "request", by=by, now=now)
        else:
            _apply(adjustment, by=by, now=now)
    return adjustment


def needs_approval(credits: Decimal, *, account_id: uuid.UUID, by: User, now: datetime) -> bool:
    """Whether another person has to approve: above the threshold; always for those who may not approve, and
    for credits of an account of their own."""
    if not by.has_perm(APPROVE) or _is_member(by, account_id):
        return True
    recent = CreditAdjustment.objects.filter(
        requested_by=by, needs_approval=False, status=Status.APPLIED, created_at__gt=now - WINDOW
    )
    moved: Decimal = recent.aggregate(sum=Sum(Abs("credits")))["sum"] or Decimal(0)
    return moved + abs(credits) > threshold()


def threshold() -> Decimal:
    """What one person may give and take within a day without approval."""
    return Decimal(settings.CREDITS_WITHOUT_APPROVAL)


def approve(adjustment: CreditAdjustment, *, by: User, now: datetime) -> CreditAdjustment:
    """Approve another person's request and apply it. Raises AdjustmentRefused."""
    with transaction.atomic():
        by = _active(by)
        adjustment = _lock_open(adjustment, now)
        if adjustment.requested_by_id == by.pk:
            raise AdjustmentRefused(_("Nobody approves their own request. Ask another person."))
        if not by.has_perm(APPROVE):
            raise AdjustmentRefused(_("You may not approve adjustments."))
        if _is_member(by, adjustment.account_id):
            raise AdjustmentRefused(_("You are a member of this account. Ask another person."))
        requester = adjustment.requested_by
        if not (requester.is_active and requester.is_staff):
            raise AdjustmentRefused(_("The person who requested this is no member of staff any more."))
        adjustment.decided_by, adjustment.decided_at = by, now
        _apply(adjustment, by=by, now=now)
    return adjustment


def refuse(adjustment: CreditAdjustment, *, by: User, reason: str, now: datetime) -> CreditAdjustment:
    """Refuse another person's request, or withdraw one's own. Raises AdjustmentRefused."""
    with transaction.atomic():
        by = _active(by)
        adjustment = _lock_open(adjustment, now)
        own = adjustment.requested_by_id == by.pk
        if not own and not by.has_perm(APPROVE):
            raise AdjustmentRefused(_("You may not decide on adjustments."))
        adjustment.status = Status.WITHDRAWN if own else Status.REFUSED
        adjustment.decided_by = None if own else by
        adjustment.decided_at, adjustment.decision = now, reason
        adjustment.save(update_fields=["status", "decided_by", "decided_at", "decision"])
        _record(adjustment, "withdraw" if own else "refuse", by=by, now=now, reason=reason)
    return adjustment


def _apply(adjustment: CreditAdjustment, *, by: User, now: datetime) -> None:
    """Move the credits and record it. The ledger's key is the adjustment, so that it moves them once."""
    wallet = Wallet.objects.select_for_update(no_key=True).filter(account_id=adjustment.account_id)
    wallet.get()  # locked, so that the balance recorded as the one before is exact
    balance = ledger.balance(adjustment.account_id, now)
    try:
        moved = ledger.adjust(
            account_id=adjustment.account_id,
            credits=adjustment.credits,
            key=f"adjustment:{adjustment.pk}",
            reason=adjustment.reason,
            actor="staff",  # members read the ledger; who it was is in the audit log
            now=now,
        )
    except ledger.InsufficientCredits as error:
        raise _too_little(error.available) from error
    except ledger.BalanceTooLarge as error:
        raise AdjustmentRefused(_("The balance would become too large."), field="amount") from error
    adjustment.status = Status.APPLIED
    adjustment.save(update_fields=["status", "decided_by", "decided_at"])
    act = "approve" if adjustment.needs_approval else "give" if adjustment.credits > 0 else "take"
    before = {"balance": balance.total, "debt": balance.debt}
    after = {"credits": adjustment.credits, "balance": moved.balance_after, "debt": wallet.get().debt}
    _record(adjustment, act, by=by, now=now, before=before, after=after)


def _record(
    adjustment: CreditAdjustment,
    act: str,
    *,
    by: User,
    now: datetime,
    reason: str = "",
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
) -> None:
    staff_acts.record(
        actor_id=by.pk,
        act=f"credits.{act}",
        subject=adjustment,
        reason=reason or adjustment.reason,
        before=before,
        after=after or {"credits": adjustment.credits},
        now=now,
    )


def _is_member(user: User, account_id: uuid.UUID) -> bool:
    return Membership.objects.filter(user=user, account_id=account_id).exists()


def _active(user: User) -> User:
    """The person, locked, with their present rights. Raises AdjustmentRefused."""
    found = User.objects.select_for_update(no_key=True).get(pk=user.pk)
    if not (found.is_active and found.is_staff):
        raise AdjustmentRefused(_("You are no member of staff any more."))
    return found


def _lock_open(adjustment: CreditAdjustment, now: datetime) -> CreditAdjustment:
    locked = (
        CreditAdjustment.objects.select_for_update(no_key=True, of=("self",))
        .select_related("requested_by", "account")
        .get(pk=adjustment.pk)
    )
    if locked.status != Status.REQUESTED:
        raise AdjustmentRefused(_("This request was already decided."))
    if not locked.is_open(now):
        raise AdjustmentRefused(_("This request has expired. Make a new one."))
    return locked


def _same(earlier: CreditAdjustment, *, account: Account, credits: Decimal, by: User) -> CreditAdjustment:
    if (earlier.account_id, earlier.credits, earlier.requested_by_id) != (account.pk, credits, by.pk):
        raise AdjustmentRefused(_("This form was sent before with other values. Open it again."))
    return earlier


def _require_possible(adjustment: CreditAdjustment) -> None:
    """Whether the balance suffices now; it is checked again, under the wallet's lock, at the approval."""
    balance = ledger.balance(adjustment.account_id, adjustment.created_at).total
    if -adjustment.credits > balance:
        raise _too_little(balance)


def _too_little(available: Decimal) -> AdjustmentRefused:
    return AdjustmentRefused(
        _("More cannot be taken than there is: %(available)s.") % {"available": plain(available)},
        field="amount",
    )
