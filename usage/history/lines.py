"""Lines of the history: ledger entries with their grants, charges, holds and names, read by one statement.

Invariants: lines are in ledger order, newest first; lines are entries that move credits, and charges that
cost none, such as those with an own key; whatever their number, reading them takes one query, and two more
where members or API keys have acted themselves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import Account, ApiKey, Membership, User
from billing.models import Charge, Entry, Grant
from pricing.catalogue import texts
from usage import selectors

# {credits}, {balance_after}: what a line shows; {conditions}: which entries
# (the lines before the names: on a distributed database they are on another node)
_READ = """
with lines as materialized (
select e.seq, e.kind, {credits} as credits, {balance_after} as balance_after, e.reason, e.actor, e.created_at, e.hash,
       e.grant_id, coalesce(g.kind, '') as grant_kind, coalesce(g.label, '') as label,
       coalesce(c.covered_by, '') as covered_by, e.charge_id, coalesce(c.service, h.service, '') as service,
       coalesce(c.action, h.action, '') as action, coalesce(c.conversation, h.conversation, '') as conversation,
       case when h.parent_id is not null then abs(e.credits) end as within,
       coalesce(c.member_id, h.member_id) as member_id, coalesce(c.api_key_id, h.api_key_id) as api_key_id
  from (select * from billing_entry e
         where e.account_id = %(account)s
           and (e.grant_id is not null or e.kind = 'charge')
           {conditions}
         order by e.seq desc limit %(limit)s) e
  left join billing_grant g on g.account_id = %(account)s and g.id = e.grant_id
  left join billing_charge c on c.account_id = %(account)s and c.id = e.charge_id
  left join billing_hold h on h.account_id = %(account)s and h.id = e.hold_id and e.charge_id is null
)
select l.seq, l.kind, l.credits, l.balance_after, l.reason, l.actor, l.created_at, l.hash, l.grant_id, l.grant_kind,
       l.label, l.covered_by, l.charge_id, l.service, l.action, l.conversation, coalesce(u.email, k.name, ''), l.within
  from lines l left join accounts_user u on u.id = l.member_id left join accounts_apikey k on k.id = l.api_key_id
 order by l.seq desc
"""  # noqa: E501
# Reserving from a hold, or returning to it, is an entry of each of the two holds. Together they leave the
# balance as it is: a page shows that of the child, with 0 credits. The parent's comes first at a hold.
_CREDITS = "case when h.parent_id is null then e.credits else 0 end"
_BALANCE_AFTER = """case when h.parent_id is not null and e.kind = 'release' then e.balance_after - e.credits
  else e.balance_after end"""
_NOT_OF_PARENTS = " and not (e.kind = 'transfer' and e.charge_id is null)"
# How the product's own reasons begin: billing.payments.clawbacks, billing.promotions.referrals, the ledger.
_OWN_REASONS = {
    "refund ": gettext_lazy("Refund"),
    "dispute ": gettext_lazy("Disputed payment"),
    "the purchase that earned the reward ": gettext_lazy("Reward of an invitation"),
    "plan changed": gettext_lazy("Plan changed"),
}
_KINDS_WITH_OWN_REASONS = frozenset(
    {Entry.Kind.CLAW_BACK, Entry.Kind.RESTORE, Entry.Kind.EXPIRE, Entry.Kind.CARRY_OVER}
)


@dataclass(slots=True, kw_only=True)
class HistoryLine:
    """An entry with its grant, its charge, a title, and the name of the person or key that acted.

    `within`: the credits that a hold reserved from another hold, or returned to it, which leaves the balance
    as it is; else None.
    """

    seq: int
    kind: str
    credits: Decimal
    balance_after: Decimal
    reason: str
    created_at: datetime
    entry_id: str
    grant_id: UUID | None
    grant_kind: str
    grant_label: str
    covered_by: str
    charge_id: UUID | None
    service: str
    action: str
    conversation: str
    within: Decimal | None
    title: str
    actor: str

    @property
    def charge_public_id(self) -> str:
        return Charge.public_id_of(self.charge_id) if self.charge_id else ""

    @property
    def grant_public_id(self) -> str:
        return Grant.public_id_of(self.grant_id) if self.grant_id else ""


def read(
    account: Account, conditions: Sequence[str], parameters: Mapping[str, Any], *, limit: int, every: bool
) -> list[HistoryLine]:
    """The newest lines that meet the conditions: SQL about an entry `e`, with parameters by name.

    With `every`, each entry is a line; otherwise what moves between two holds is one line of 0 credits.
    """
    text = "".join(f" and ({condition})" for condition in conditions)
    if every:
        statement = _READ.format(credits="e.credits", balance_after="e.balance_after", conditions=text)
    else:
        text += _NOT_OF_PARENTS
        statement = _READ.format(credits=_CREDITS, balance_after=_BALANCE_AFTER, conditions=text)
    with connection.cursor() as cursor:
        cursor.execute(statement, {**parameters, "account": account.pk, "limit": limit})
        rows = cursor.fetchall()
    services = selectors.service_names([key for row in rows for key in (row[13], row[14]) if key])
    actors = _actor_names(account, {row[5] for row in rows})
    return [_line(row, services, actors) for row in rows]


def _line(row: Sequence[Any], services: Mapping[str, str], actors: Mapping[str, str]) -> HistoryLine:
    seq, kind, credits, balance_after, reason, actor, created_at, digest, *of_grant_and_use = row
    grant_id, grant_kind, stored_label, covered_by, charge_id, *of_use = of_grant_and_use
    grant_label = texts.translated(stored_label)
    service, action, conversation, user_of_use, within = of_use
    names = dict.fromkeys(services[key] for key in (action, service) if key)
    return HistoryLine(
        seq=seq,
        kind=kind,
        credits=credits,
        balance_after=balance_after,
        reason=reason,
        created_at=created_at,
        entry_id=Entry.public_id_of(bytes(digest)),
        grant_id=grant_id,
        grant_kind=grant_kind,
        grant_label=grant_label,
        covered_by=covered_by,
        charge_id=charge_id,
        service=service,
        action=action,
        conversation=conversation,
        within=within,
        title=" · ".join(names) if names else _reason(kind, reason) or grant_label,
        actor=actors[actor] or user_of_use,
    )


def _actor_names(account: Account, actors: set[str]) -> dict[str, str]:
    """Display names of actors: members by e-mail, API keys by name, staff and other users as "Support"."""
    users = {actor: user_id for actor in actors if (user_id := User.uuid_of(actor))}
    keys = {actor: key_id for actor in actors if (key_id := ApiKey.uuid_of(actor))}
    members = account.memberships.filter(user_id__in=users.values()) if users else Membership.objects.none()
    emails = dict(members.values_list("user_id", "user__email"))
    api_keys = ApiKey.objects.filter(pk__in=keys.values()) if keys else ApiKey.objects.none()
    key_names = dict(api_keys.values_list("pk", "name"))
    names = {actor: _("Support") if selectors.is_staff(actor) else actor for actor in actors}
    names |= {actor: emails.get(user_id, _("Support")) for actor, user_id in users.items()}
    return names | {actor: key_names.get(key_id, "") for actor, key_id in keys.items()}


def _reason(kind: str, reason: str) -> str:
    """Why credits moved, for members. The product's own reasons contain ids and are not translated."""
    own = next((text for start, text in _OWN_REASONS.items() if reason.startswith(start)), None)
    return str(own) if own and kind in _KINDS_WITH_OWN_REASONS else reason
