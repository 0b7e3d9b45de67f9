"""Referrals: a personal invitation code, and credits for both accounts when the invited one qualifies.

Invariants: an account accepts one invitation, while it is new, and never its own or one of an account with
the same mailbox; each side is rewarded once (the idempotency key is the referral); a reward earned by a
purchase is taken back with that purchase. Two wallets are never locked in one transaction.
"""

import contextlib
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from accounts import addresses
from accounts import selectors as accounts
from accounts.models import Account
from billing import ledger, validity
from billing.models import Charge, Correction, Dispute, InvitationCode, Purchase, Referral
from billing.promotions import redemption
from billing.promotions.redemption import CodeRefused, UnknownCode
from pricing.catalogue import cache as catalogue_cache
from pricing.catalogue.policies import Referral as Policy

log = structlog.get_logger(__name__)
NEW_ACCOUNT_AGE = timedelta(days=14)
# Labels of grants, which are stored in English.
_OF_INVITED, _OF_INVITER = gettext_noop("Invitation bonus"), gettext_noop("Referral reward")
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


def code_of(account: Account) -> str:
    """The account's invitation code, created when first needed."""
    code = "INV-" + "".join(secrets.choice(_ALPHABET) for _n in range(10))
    found, _created = InvitationCode.objects.get_or_create(account=account, defaults={"code": code})
    return str(found.code)


def link_of(account: Account) -> str:
    """The link that keeps the account's invitation code until the visitor has signed up."""
    return f"{settings.SITE_URL}{reverse('invited', args=[code_of(account)])}"


def inviter_of(code: str) -> Account | None:
    """The account whose invitation code this is."""
    text = code.strip().upper()
    if not redemption.is_code(text):
        return None
    found = InvitationCode.objects.select_related("account").filter(code=text).first()
    return found.account if found else None


def accept(*, account: Account, code: str, now: datetime) -> Referral:
    """Record that a new account accepted an invitation; only its first one counts. Raises CodeRefused."""
    policy = catalogue_cache.current().policies.referral
    inviter = inviter_of(code)
    if policy is None or inviter is None or inviter.erased_at is not None:
        raise UnknownCode
    if inviter.pk == account.pk or _share_mailbox(inviter, account):
        raise CodeRefused("own_invitation", _("You cannot use your own invitation. Share it with a friend."))
    if now - account.created_at > NEW_ACCOUNT_AGE:
        raise CodeRefused("not_new", _("Invitations are valid for new accounts only."))
    try:
        with transaction.atomic():
            # The count is exact because the inviter's code row is locked.
            InvitationCode.objects.select_for_update(no_key=True).get(account=inviter)
            limit = policy.most_invitations
            if limit is not None and Referral.objects.filter(inviter=inviter).count() >= limit:
                raise CodeRefused(
                    "code_used_up", _("This invitation has reached its maximum number of uses.")
                )
            referral = Referral.objects.create(inviter=inviter, invited=account, created_at=now)
    except IntegrityError:
        raise CodeRefused("already_invited", _("This account has already been invited.")) from None
    transaction.on_commit(lambda: reward_if_due(account.pk, now), robust=True)
    return referral


def address_verified(*, account_id: UUID, now: datetime) -> None:
    """Reward the account's invitation if a verified address is enough to qualify (policy `sign_up`)."""
    transaction.on_commit(lambda: reward_if_due(account_id, now), robust=True)


def mark_qualifying_purchase(purchase: Purchase, now: datetime) -> None:
    """Record the purchase that qualifies its account, in the transaction that marks it as paid."""
    policy = catalogue_cache.current().policies.referral
    if policy is not None and policy.qualifies == "first_purchase" and purchase.amount > 0:
        joined = Referral.objects.filter(invited_id=purchase.account_id, state=Referral.State.JOINED)
        joined.filter(purchase=None).update(purchase=purchase)


def reward_if_due(account_id: UUID, now: datetime) -> None:
    """Reward both sides of the account's invitation if it has qualified. Safe to repeat."""
    referral = Referral.objects.filter(invited_id=account_id, state=Referral.State.JOINED).first()
    policy = catalogue_cache.current().policies.referral
    if referral is None or policy is None or not _qualified(referral, policy):
        return
    _grant_reward(referral, referral.invited_id, policy.invited_credits, _OF_INVITED, policy, now)
    _grant_reward(referral, referral.inviter_id, policy.inviter_credits, _OF_INVITER, policy, now)
    Referral.objects.filter(pk=referral.pk, state=Referral.State.JOINED).update(
        state=Referral.State.REWARDED, rewarded_at=now
    )


def reward_all_due(now: datetime, *, limit: int = 500) -> int:
    """Reward qualified invitations and take back rewards of refunded purchases, which a crash may have left.

    First charges qualify here only. At most `limit` of each are done. What is not due is left out in SQL, and
    what fails does not count: neither can keep others waiting. Returns the number of invitations tried.
    """
    policy = catalogue_cache.current().policies.referral
    joined = Referral.objects.filter(state=Referral.State.JOINED, created_at__gt=now - timedelta(days=400))
    if policy is None:
        joined = joined.none()
    elif policy.qualifies == "first_charge":
        charged = Charge.objects.filter(account_id=OuterRef("invited_id"), credits__gt=0)
        if ledger.is_distributed():  # the charges are on other nodes
            invited = list(joined.values_list("invited_id", flat=True))
            joined = joined.filter(invited_id__in=ledger.charged_accounts(invited))
        else:
            joined = joined.filter(Exists(charged))
    elif policy.qualifies == "first_purchase":
        joined = _by_purchase(joined, is_reversed=False)

    def follow(referral: Referral) -> None:
        assert referral.purchase_id is not None, "only a purchase takes a reward back"
        follow_purchase(referral.purchase_id, now)

    tried = _each(joined, lambda one: reward_if_due(one.invited_id, now), "referral_not_rewarded", limit)
    for state, is_reversed in ((Referral.State.REWARDED, True), (Referral.State.TAKEN_BACK, False)):
        changed = _by_purchase(Referral.objects.filter(state=state), is_reversed=is_reversed)
        _each(changed, follow, "referral_not_taken_back", limit)
    return tried


def _by_purchase(referrals: QuerySet[Referral], *, is_reversed: bool) -> QuerySet[Referral]:
    """Those whose purchase is reversed, or is not, as `_is_reversed` decides it."""
    lost = Dispute.objects.filter(purchase_id=OuterRef("purchase_id"), status=Dispute.Status.LOST)
    lost_amount = lost.values("purchase_id").annotate(sum=Sum("amount")).values("sum")
    kept = Q(
        purchase__status=Purchase.Status.PAID,
        purchase__amount__gt=F("purchase__refunded") + Coalesce(Subquery(lost_amount), 0),
    )
    return referrals.filter(~kept if is_reversed else kept, purchase__isnull=False)


def _each(referrals: QuerySet[Referral], act: Callable[[Referral], None], failure: str, limit: int) -> int:
    """Act on each until `limit` have succeeded, in the order of their ids; returns how many were tried."""
    tried = done = 0
    after = UUID(int=0)
    while portion := list(referrals.filter(pk__gt=after).order_by("pk")[: limit - done]):
        for referral in portion:
            try:
                act(referral)
                done += 1
            except Exception:  # one that fails must not stop the others
                log.exception(failure, alert=True, account=str(referral.invited_id))
        tried, after = tried + len(portion), portion[-1].pk
    return tried


def follow_purchase(purchase_id: UUID, now: datetime) -> None:
    """Take back the rewards of a purchase whose money is lost in full; return them when it comes back.

    Credits that are spent by then become debt. A partial refund leaves the rewards. Safe to repeat.
    """
    purchase = Purchase.objects.get(pk=purchase_id)
    is_reversed = _is_reversed(purchase)
    state = Referral.State.REWARDED if is_reversed else Referral.State.TAKEN_BACK
    for referral in Referral.objects.filter(purchase=purchase, state=state):
        for account_id in (referral.invited_id, referral.inviter_id):
            if is_reversed:
                _take_back_reward(referral, account_id, now)
            else:
                _restore_reward(referral, account_id, now)
        Referral.objects.filter(pk=referral.pk, state=state).update(
            state=Referral.State.TAKEN_BACK if is_reversed else Referral.State.REWARDED
        )


def _take_back_reward(referral: Referral, account_id: UUID, now: datetime) -> None:
    """The key counts how often the reward was taken and returned, so that a repeated call has no effect."""
    made = _claw_backs(referral, account_id)
    if made.filter(undone_by_id=None).exists():
        return
    count = made.count()
    ledger.claw_back(
        account_id=account_id,
        purchase_id=referral.pk,
        key=f"referral-back:{referral.pk.hex}" + (f":{count}" if count else ""),
        reason="the purchase that earned the reward was refunded",
        now=now,
    )


def _restore_reward(referral: Referral, account_id: UUID, now: datetime) -> None:
    for key in (
        _claw_backs(referral, account_id).filter(undone_by_id=None).values_list("idempotency_key", flat=True)
    ):
        with contextlib.suppress(ledger.AlreadyRestored):  # by a concurrent call
            ledger.restore(
                account_id=account_id,
                claw_back_key=key,
                key=f"{key}:paid",
                reason="the purchase that earned the reward is paid again",
                now=now,
            )


def _claw_backs(referral: Referral, account_id: UUID) -> QuerySet[Correction]:
    return Correction.objects.filter(
        account_id=account_id,
        kind=Correction.Kind.CLAW_BACK,
        idempotency_key__startswith=f"referral-back:{referral.pk.hex}",
    )


def _qualified(referral: Referral, policy: Policy) -> bool:
    if policy.qualifies == "first_purchase":
        return referral.purchase is not None and not _is_reversed(referral.purchase)
    if policy.qualifies == "first_charge":
        return Charge.objects.filter(account_id=referral.invited_id, credits__gt=0).exists()
    return True


def _is_reversed(purchase: Purchase) -> bool:
    """Whether the purchase is unpaid, or refunds and lost disputes have returned all of it."""
    lost = purchase.disputes.filter(status=Dispute.Status.LOST).aggregate(sum=Sum("amount"))["sum"] or 0
    return purchase.status != Purchase.Status.PAID or purchase.refunded + lost >= purchase.amount


def _grant_reward(
    referral: Referral, account_id: UUID, credits: Decimal, label: str, policy: Policy, now: datetime
) -> None:
    """Grant one side's reward; the referral's id is used as the purchase id, so that it can be taken back."""
    ledger.grant(
        account_id=account_id,
        credits=credits,
        kind="referral",
        label=label,
        key=f"referral:{referral.pk.hex}",
        # counted from the reward, not from accepting the invitation
        expires_at=validity.ends_at(policy.lasts, now),
        services=list(policy.services) if policy.services else None,
        purchase_id=referral.pk,
        now=now,
    )


def _share_mailbox(inviter: Account, invited: Account) -> bool:
    """Whether owners of the two accounts have the same mailbox."""
    mailboxes = [
        {addresses.canonical(address) for address in accounts.owner_addresses(account.pk)}
        for account in (inviter, invited)
    ]
    return bool(mailboxes[0] & mailboxes[1])
