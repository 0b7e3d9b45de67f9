"""Receivers of the signals of accounts, connected when the app is ready.

Invariant: errors propagate to the sender, whose transaction is rolled back: no account exists without a
wallet and a plan.
"""

import contextlib
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.apps import apps
from django.db.models.signals import post_migrate, pre_migrate, pre_save
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from accounts import invitations, registration, spending_limits, team_requests
from accounts.models import (
    Account,
    Invitation,
    TeamRequest,
    User,
    WebhookEndpoint,
    personal_account_of,
)
from accounts.webhook_endpoints import endpoints
from billing import ledger, provisioning
from billing.notifications import emails
from billing.promotions import referrals
from billing.promotions.redemption import CodeRefused

SESSION_KEY = "invitation"  # the session's key for the invitation code that the visitor followed


def connect() -> None:
    """Connect the receivers; called once by BillingConfig.ready."""
    registration.account_opened.connect(_on_account_opened, dispatch_uid="billing.account_opened")
    registration.address_verified.connect(_on_address_verified, dispatch_uid="billing.address_verified")
    spending_limits.limit_set.connect(_on_limit_set, dispatch_uid="billing.limit_set")
    invitations.invitation_sent.connect(_on_invitation_sent, dispatch_uid="billing.invitation_sent")
    endpoints.endpoint_disabled.connect(_on_endpoint_disabled, dispatch_uid="billing.endpoint_disabled")
    team_requests.request_answered.connect(_on_team_answered, dispatch_uid="billing.team_answered")
    here = apps.get_app_config("billing")
    pre_migrate.connect(_before_migrations, sender=here, dispatch_uid="billing.before_migrations")
    post_migrate.connect(_after_migrations, sender=here, dispatch_uid="billing.after_migrations")
    pre_save.connect(_on_account_saved, sender=Account, dispatch_uid="billing.account_saved")


def _before_migrations(plan: Sequence[object] = (), **_: Any) -> None:
    if plan:
        ledger.distribution.drop_shard_schemas()


def _after_migrations(plan: Sequence[object] = (), **_: Any) -> None:
    ledger.distribution.install(has_changed=bool(plan))


def _on_account_opened(account: Account, user: User, now: datetime, **_: Any) -> None:
    provisioning.open_account(account=account, user=user, now=now)


def _on_endpoint_disabled(endpoint: WebhookEndpoint, now: datetime, **_: Any) -> None:
    """Send an e-mail to the owners of the account, or, for an endpoint of the platform, the staff."""
    staff = User.objects.filter(is_staff=True, is_active=True).order_by("pk")
    emails.queue(
        account_id=endpoint.account_id,
        template="webhook_disabled",
        key=f"webhook_disabled:{endpoint.pk.hex}:{now.isoformat()}",
        context={"url": endpoint.url, "reason": endpoint.disabled_reason},
        also_to=[] if endpoint.account_id else list(staff.values_list("email", flat=True)),
        now=now,
    )


def _on_limit_set(
    account_id: UUID,
    kind: str,
    subject: str,
    period: str,
    maximum: Decimal | None,
    now: datetime,
    **_: Any,
) -> None:
    ledger.set_limit(
        account_id=account_id, kind=kind, subject=subject, period=period, maximum=maximum, now=now
    )


def _on_invitation_sent(invitation: Invitation, token: str, now: datetime, **_: Any) -> None:
    """Queue the e-mail. It contains no text of the account, so that nobody sends advertisements with it."""
    inviter = invitation.invited_by
    emails.queue(
        account_id=invitation.account_id,
        template="member_invitation",
        key=f"member_invitation:{invitation.pk}:{invitation.sent}",
        context={"path": reverse("join", args=[token]), "inviter": inviter.email if inviter else ""},
        only_to=invitation.email,
        now=now,
    )


def _on_team_answered(team_request: TeamRequest, now: datetime, **_: Any) -> None:
    emails.queue(
        account_id=team_request.account_id or personal_account_of(team_request.user).pk,
        template="team_answered",
        key=f"team_answered:{team_request.pk}",
        context={
            "name": team_request.name,
            "answer": team_request.answer,
            "approved": team_request.account_id is not None,
            "path": reverse("members"),
        },
        only_to=team_request.user.email,
        now=now,
    )


def _on_account_saved(instance: Account, **_: Any) -> None:
    """Settle the wallet before its zone changes: what is due until now was due in the former zone."""
    if (
        not instance._state.adding
        and Account.objects.filter(pk=instance.pk).exclude(zone=instance.zone).exists()
    ):
        ledger.settle([instance.pk], timezone.now())


def _on_address_verified(
    user: User, email: str, now: datetime, request: HttpRequest | None, **_: Any
) -> None:
    provisioning.address_verified(user=user, email=email, now=now)
    session = getattr(request, "session", None)
    code = session.pop(SESSION_KEY, "") if session is not None else ""
    if code:
        # The page for codes explains a refusal; a sign-up continues without the invitation.
        with contextlib.suppress(CodeRefused):
            referrals.accept(account=personal_account_of(user), code=code, now=now)
