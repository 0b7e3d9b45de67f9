"""Refused calls as the page shows them: the reason in words, and what mends it.

Invariant: an action is offered only to a member whose role permits it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import ApiKey, Membership, Project
from core.templatetags.credits import credits, plural_number
from pricing.catalogue import cache as catalogue_cache
from pricing.catalogue import texts
from usage import insufficient_credits
from usage.dashboard import aggregates
from usage.insufficient_credits import WayOn
from usage.refusals.reading import RefusedGroup

INSUFFICIENT = "insufficient_credits"


@dataclass(frozen=True, slots=True)
class Action:
    """The link to the page that mends the cause."""

    label: str
    url: str


@dataclass(frozen=True, slots=True)
class Line:
    """Refused calls of one group. `resets_at`: when the limit that refused them begins anew, or when the
    account gets credits without buying any."""

    group: RefusedGroup
    reason: str
    detail: str
    service: str
    api_key: str
    member: str
    action: Action | None
    resets_at: datetime | None


def lines_of(groups: Sequence[RefusedGroup], membership: Membership, now: datetime) -> list[Line]:
    """The lines that this member sees."""
    account = membership.account
    is_short = any(group.code == INSUFFICIENT for group in groups)
    ways_on = insufficient_credits.options(account.pk, now) if is_short else []

    def names(dimension: str, values: list[Any]) -> dict[Any, str]:
        return aggregates.display_names(account, dimension=dimension, values=values)

    services = names("service", [group.service for group in groups])
    keys = names("api_key", [group.api_key_id for group in groups])
    members = names("member", [group.member_id for group in groups])
    subjects = _subjects(groups, membership)
    return [
        Line(
            group=group,
            reason=reason_of(group.code, group.limit),
            detail=_detail(group, subjects),
            service=services.get(group.service, ""),
            api_key=keys.get(group.api_key_id, ""),
            member=members.get(group.member_id, ""),
            action=_action(group, membership, subjects, ways_on),
            resets_at=_resets_at(group, ways_on),
        )
        for group in groups
    ]


def reason_of(code: str, limit: str = "") -> str:
    """The reason of a code of a problem document, as a heading."""
    limits = {
        "project": _("Limit of a %(project)s reached") % {"project": texts.project_word()},
        "member": _("Limit of a member reached"),
        "key": _("Limit of an API key reached"),
        "account": _("Monthly budget reached"),
    }
    reasons = {
        INSUFFICIENT: _("Not enough credits"),
        "limit_reached": limits.get(limit, _("Limit reached")),
        "quota_reached": _("Quota of the plan reached"),
        "budget_exceeded": _("Budget of an agent exceeded"),
        "rate_limited": _("Too many requests"),
        "missing_scope": _("API key without the needed scope"),
        "platform_key_required": _("Platform key required"),
    }
    return reasons.get(code, code.replace("_", " ").capitalize())


def _subjects(groups: Sequence[RefusedGroup], membership: Membership) -> dict[str, Any]:
    """The projects, keys and memberships that the limits belong to, by UUID; those that exist."""
    wanted = {group.subject for group in groups if group.limit in ("project", "member", "key")}
    if not wanted:
        return {}
    ids = [UUID(subject) for subject in wanted]
    account = membership.account
    found: dict[str, Any] = {
        str(one.pk): one
        for rows in (
            Project.objects.filter(account=account, archived_at=None, pk__in=ids),
            ApiKey.objects.filter(account=account, revoked_at=None, pk__in=ids),
        )
        for one in rows
    }
    members = Membership.objects.filter(account=account, user__in=ids).select_related("user")
    return found | {str(one.user_id): one for one in members}


def _detail(group: RefusedGroup, subjects: dict[str, Any]) -> str:
    """The figures of the last call as a sentence; empty without any."""
    figures = {name: _shown(value) for name, value in group.figures.items()}
    if "debt" in figures:
        return _("The account owed %(debt)s credits after a refund or dispute.") % figures
    if group.code == INSUFFICIENT:
        return _("The last call needed %(needed)s credits; %(available)s were available to it.") % figures
    if group.code == "budget_exceeded":
        return _("The last call needed %(needed)s credits; %(remaining)s remained of its hold.") % figures
    if group.code == "quota_reached":
        return _("%(quota)s: %(used)s of %(maximum)s were used.") % figures
    if group.code == "limit_reached" and "maximum" in figures:
        number = plural_number(Decimal(group.figures["maximum"]))
        used = ngettext(
            "%(used)s of %(maximum)s credit was used.", "%(used)s of %(maximum)s credits were used.", number
        )
        used %= figures
        subject = subjects.get(group.subject)
        if subject is None:
            return used
        return _("%(name)s: %(sentence)s") % {"name": _name_of(subject), "sentence": used}
    if group.code == "missing_scope" and "scope" in figures:
        return _("The call needs the scope “%(scope)s”.") % figures
    return ""


def _shown(value: str) -> str:
    try:
        return str(credits(Decimal(value)))
    except ArithmeticError:
        return value


def _name_of(subject: Project | ApiKey | Membership) -> str:
    return subject.user.shown_name if isinstance(subject, Membership) else str(subject)


def _resets_at(group: RefusedGroup, ways_on: Sequence[WayOn]) -> datetime | None:
    text = group.figures.get("resets_at")
    if group.code == INSUFFICIENT:
        waits = [cast(insufficient_credits.Wait, way) for way in ways_on if way["kind"] == "wait"]
        text = min((wait["until"] for wait in waits), default=None)
    return datetime.fromisoformat(text) if text else None


def _action(
    group: RefusedGroup, membership: Membership, subjects: dict[str, Any], ways_on: Sequence[WayOn]
) -> Action | None:
    """The page that mends the cause, if the member's role permits it."""
    if group.code == "budget_exceeded":
        return Action(_("View budgets"), reverse("budgets"))
    if group.code == "rate_limited":
        return Action(_("Read documentation"), reverse("documentation"))
    if not membership.may_buy:
        return None
    kinds = {way["kind"] for way in ways_on}
    if group.code == INSUFFICIENT and "buy" in kinds:
        return Action(_("Buy credits"), reverse("buy"))
    if group.code in (INSUFFICIENT, "quota_reached") and catalogue_cache.current().has_plans_to_compare:
        return Action(_("Upgrade plan"), reverse("plans"))
    if group.code == "missing_scope":
        return Action(_("Create API key"), reverse("api_keys"))
    if group.limit == "account":
        return Action(_("Raise budget"), reverse("monthly_budget"))
    page = {"project": "project", "key": "change_key", "member": "member"}.get(group.limit)
    subject = subjects.get(group.subject)
    return Action(_("Raise limit"), reverse(page, args=[subject.public_id])) if page and subject else None
