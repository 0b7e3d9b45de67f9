"""One object of every kind that an account can own."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.utils import timezone

from accounts import api_keys, provider_keys, team_requests
from accounts.models import Account, ApiKey, Invitation, Membership, User, WebhookDelivery
from accounts.webhook_endpoints import deliveries, endpoints
from billing.models import Purchase
from usage.history import exports
from usage.history.pages import Filter

SECRET = "alices-secret"  # part of every name and note; other users must never see it


@dataclass(frozen=True)
class World:
    """An account with the public ids of its objects, by kind."""

    object_ids: dict[str, str]
    account: Account


def create_objects(account: Account, owner: User, api: Any) -> World:
    """Create one object of every kind. `api` has a key of the owner."""
    now = timezone.now()
    use = {"service": "claude-sonnet-4", "usage": {"tokens": 10}, "conversation": SECRET}
    project = api.post("projects", {"name": SECRET}).json()["id"]
    charge = api.post("charges", use | {"project": project, "metadata": {"note": SECRET}}, key="c").json()[
        "id"
    ]
    hold = api.post("holds", use, key="h").json()["id"]
    key = api_keys.issue(
        kind=ApiKey.Kind.ACCOUNT, name=SECRET, scopes=["read"], account=account, created_by=owner, now=now
    ).key
    own_key = provider_keys.store(account=account, provider="openai", secret=f"sk-{SECRET}-0123", now=now)
    purchase = Purchase.objects.create(
        account=account,
        kind=Purchase.Kind.PACK,
        origin=Purchase.Origin.PAGE,
        offer="small",
        label=SECRET,
        credits=500,
        amount=1000,
        list_amount=1000,
        currency="usd",
        status=Purchase.Status.PAID,
        idempotency_key="world",
        invoice_number="R-81",
        created_at=now,
        paid_at=now,
    )
    invitation = Invitation.objects.create(
        account=account,
        email=f"{SECRET}@example.org",
        invited_by=owner,
        created_at=now,
        expires_at=now + timedelta(days=7),
    )
    endpoint = endpoints.create(
        account=account,
        url=f"https://hooks.example.com/{SECRET}",
        events=["member.added"],
        description=SECRET,
        now=now,
    ).endpoint
    delivery = deliveries.send_test(endpoint, now)
    WebhookDelivery.objects.update(status=WebhookDelivery.Status.DELIVERED, due_at=None)
    asked = team_requests.create(user=owner, kind="family", name=SECRET, note=SECRET, now=now)
    export = exports.request(account, owner, Filter(search=SECRET), now)
    exports.write_waiting(now)
    return World(
        account=account,
        object_ids={
            "account": account.public_id,
            "project": project,
            "charge": charge,
            "hold": hold,
            "api_key": key.public_id,
            "member": Membership.objects.get(account=account, user=owner).public_id,
            "invitation": invitation.public_id,
            "provider_key": own_key.public_id,
            "purchase": purchase.public_id,
            "webhook_endpoint": endpoint.public_id,
            "webhook_delivery": delivery.public_id,
            "export": export.public_id,
            "team_request": asked.public_id,
        },
    )
