"""Events: facts of an account, recorded in the transaction of the fact.

Invariants: an event exists exactly if its fact was committed and an enabled endpoint had chosen the type; a
fact that is recorded twice has one event.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, TypedDict
from uuid import UUID

from django.db import connection

from accounts.models import Account, Membership, User, WebhookEndpoint, WebhookEvent
from core import json_body
from core.fields import instant
from core.json_types import EmailText, id_of

Type = WebhookEvent.Type


class AccountOfEvent(TypedDict):
    id: Annotated[str, id_of(Account)]
    external_id: str | None


class MemberOfEvent(TypedDict):
    """`user` is the id that uses name in `member`."""

    id: Annotated[str, id_of(Membership)]
    user: Annotated[str, id_of(User)]
    email: EmailText
    role: Annotated[str, Membership.Role]


class MemberEvent(TypedDict):
    account: AccountOfEvent
    member: MemberOfEvent


class TestEvent(TypedDict):
    """Sent on request. `account` is null for an endpoint of the platform."""

    account: AccountOfEvent | None
    endpoint: Annotated[str, id_of(WebhookEndpoint)]


def record(*, account_id: UUID, type: Type, fact: str, data: Mapping[str, object], now: datetime) -> None:
    """Record a fact of an account, once for each `fact`. `data` is plain JSON without the account.

    Call it in the transaction of the fact: one statement, which writes nothing where no endpoint wants the
    type.
    """
    assert connection.in_atomic_block, "an event is recorded in the transaction of its fact"
    with connection.cursor() as cursor:
        cursor.execute(
            "select webhook_record(%s, %s, %s, %s::jsonb, %s)",
            [account_id, str(type), fact, json_body.dumps(data), now],
        )


def record_member(membership: Membership, type: Type, now: datetime) -> None:
    """Record that a member was added or removed."""
    user: User = membership.user
    member: MemberOfEvent = {
        "id": membership.public_id,
        "user": user.public_id,
        "email": user.email,
        "role": membership.role,
    }
    fact = f"{type}:{membership.pk.hex}"
    record(account_id=membership.account_id, type=type, fact=fact, data={"member": member}, now=now)


def body_of(event: WebhookEvent) -> str:
    """The body of the event's deliveries, the same at each attempt."""
    content: dict[str, Any] = {
        "type": event.type,
        "timestamp": instant(event.created_at),
        "data": event.data,
    }
    return json_body.dumps(content)
