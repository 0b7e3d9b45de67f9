"""Invitations: a personal link, and credits for both sides when the invited account qualifies.

Invariants: an account is invited once, when it is new, and never by itself or by somebody with the same
mailbox; each side is rewarded once (the keys name the referral); a reward that a purchase earned goes back
with that purchase. Two wallets are never locked in one transaction.
"""

import secrets
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import structlog
from django.db import IntegrityError, transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils.translation import gettext as _

from accounts import addresses
from accounts import selectors as accounts
from accounts.models import Account
from billing import ledger, validity
from billing.models import Charge, InvitationCode, Purchase, Referral
from billing.promotions import redemption
from billing.promotions.redemption import CodeRefused
from pricing.catalogue import cache as catalogue_cache
from pricing.catalogue.policies import Referral as Policy

log = structlog.get_logger(__name__)
NEW_FOR = timedelta(days=14)
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


def code_of(account: Account) -> str:
    """The account's personal code, made at the first need."""
    found = InvitationCode.objects.filter(account=account).first()
    if found is None:
        drawn = "INV-" + "".join(secrets.choice(_ALPHABET) for _n in range(10))
        found, _created = InvitationCode.objects.get_or_create(account=account, defaults={"code": drawn})
    return str(found.code)


def inviter_of(code: str) -> Account | None:
    """Whose code this is."""
    text = code.strip().upper()
    if not redemption.is_code(text):
        return None
    found = InvitationCode.objects.select_related("account").filter(code=text).first()
    return found.account if found else None


def accept(*, account: Account, code: str, now: datetime) -> Referral:
    """Note that an account was invited. Raises CodeRefused; who is invited twice stays with the first."""
    policy = catalogue_cache.current().policies.referral
    inviter = inviter_of(code)
    if policy is None or inviter is None or inviter.erased_at is not None:
        raise CodeRefused("unknown_code", _("This code does not exist. Check the spelling."))
    if inviter.pk == account.pk or _same_people(inviter, account):
        raise CodeRefused("own_invitation", _("You cannot use your own invitation. Share it with a friend."))
    if now - account.created_at > NEW_FOR:
        raise CodeRefused("not_new", _("Invitations are valid for new accounts only."))
    try:
        with transaction.atomic():
            # Counted under a lock: the inviter's code is one row, whoever comes at once.
            InvitationCode.objects.select_for_update().get(account=inviter)
            most = policy.most_invitations
            if most is not None and Referral.objects.filter(inviter=inviter).count() >= most:
                raise CodeRefused(
                    "code_used_up", _("This invitation has reached its maximum number of uses.")
                )
            referral = Referral.objects.create(inviter=inviter, invited=account, created_at=now)
    except IntegrityError:
        raise CodeRefused("already_invited", _("This account has already been invited.")) from None
    transaction.on_commit(lambda: reward_if_due(account.pk, now), robust=True)
    return referral


def address_verified(*, account_id: UUID, now: datetime) -> None:
    """An invited account's address is proven: enough to qualify where the catalogue says `sign_up`."""
    transaction.on_commit(lambda: reward_if_due(account_id, now), robust=True)


def purchase_paid(purchase: Purchase, now: datetime) -> None:
    """In the transaction that pays a purchase: remember that this one qualifies its account."""
    policy = catalogue_cache.current().policies.referral
    if policy is not None and policy.qualifies == "first_purchase" and purchase.amount > 0:
        waiting = Referral.objects.filter(invited_id=purchase.account_id, state=Referral.State.JOINED)
        waiting.filter(purchase=None).update(purchase=purchase)


def reward_if_due(account_id: UUID, now: datetime) -> None:
    """Reward both sides of the invitation by which an account came, if it has qualified. Safe to repeat."""
    referral = Referral.objects.filter(invited_id=account_id, state=Referral.State.JOINED).first()
    policy = catalogue_cache.current().policies.referral
    if referral is None or policy is None or not _qualified(referral, policy):
        return
    _give(referral, referral.invited_id, policy.invited_credits, _("Invitation bonus"), policy, now)
    _give(referral, referral.inviter_id, policy.inviter_credits, _("Referral reward"), policy, now)
    Referral.objects.filter(pk=referral.pk, state=Referral.State.JOINED).update(
        state=Referral.State.REWARDED, rewarded_at=now
    )


def reward_due(now: datetime, *, limit: int = 500) -> int:
    """Look at every invitation that has not been rewarded (what a crash left, and first charges)."""
    waiting = Referral.objects.filter(state=Referral.State.JOINED, created_at__gt=now - timedelta(days=400))
    # Those that cannot have qualified are left out here: they would fill every run and keep out the others.
    policy = catalogue_cache.current().policies.referral
    if policy is not None and policy.qualifies == "first_charge":
        charged = Charge.objects.filter(account_id=OuterRef("invited_id"), credits__gt=0)
        waiting = waiting.filter(Exists(charged))
    elif policy is not None and policy.qualifies == "first_purchase":
        waiting = waiting.filter(purchase__refunded__lt=F("purchase__amount"))
    ids = list(waiting.order_by("pk").values_list("invited_id", flat=True)[:limit])
    for account_id in ids:
        try:
            reward_if_due(account_id, now)
        except Exception:  # one that cannot be rewarded keeps no other waiting
            log.exception("referral_not_rewarded", alert=True, account=str(account_id))
    refunded = Q(purchase__refunded__gte=F("purchase__amount")) | Q(purchase__disputes__status="lost")
    kept = Referral.objects.filter(refunded, state=Referral.State.REWARDED).values("purchase")
    for purchase in Purchase.objects.filter(pk__in=kept)[:limit]:  # what a crash left after the refund
        try:
            purchase_undone(purchase, now)
        except Exception:
            log.exception("referral_not_taken_back", alert=True, purchase=purchase.public_id)
    return len(ids)


def purchase_undone(purchase: Purchase, now: datetime) -> None:
    """A purchase was wholly refunded or lost: the rewards it earned go back (what was spent becomes debt)."""
    for referral in Referral.objects.filter(purchase=purchase, state=Referral.State.REWARDED):
        for side in (referral.invited_id, referral.inviter_id):
            ledger.claw_back(
                account_id=side,
                purchase_id=referral.pk,
                key=f"referral-back:{referral.pk.hex}",
                reason="the purchase behind the invitation was undone",
                now=now,
            )
        Referral.objects.filter(pk=referral.pk).update(state=Referral.State.TAKEN_BACK)


def _qualified(referral: Referral, policy: Policy) -> bool:
    if policy.qualifies == "first_purchase":
        return referral.purchase is not None and not _undone(referral.purchase)
    if policy.qualifies == "first_charge":
        return Charge.objects.filter(account_id=referral.invited_id, credits__gt=0).exists()
    return True


def _undone(purchase: Purchase) -> bool:
    """Not paid, or its money has gone back whole."""
    back = purchase.refunded >= purchase.amount or purchase.disputes.filter(status="lost").exists()
    return purchase.status != Purchase.Status.PAID or back


def _give(
    referral: Referral, account_id: UUID, credits: Decimal, label: str, policy: Policy, now: datetime
) -> None:
    """One side's reward. It hangs on the referral as on a purchase, so that it can be taken back."""
    ledger.grant(
        account_id=account_id,
        credits=credits,
        kind="referral",
        label=label,
        key=f"referral:{referral.pk.hex}",
        # from the reward on: who qualifies long after joining is rewarded like any other
        expires_at=validity.ends_at(policy.lasts, now),
        services=list(policy.services) if policy.services else None,
        purchase_id=referral.pk,
        now=now,
    )


def _same_people(inviter: Account, invited: Account) -> bool:
    """Whether the two accounts share a mailbox behind their owners' addresses."""
    boxes = [
        {addresses.canonical(address) for address in accounts.owner_addresses(account.pk)}
        for account in (inviter, invited)
    ]
    return bool(boxes[0] & boxes[1])
