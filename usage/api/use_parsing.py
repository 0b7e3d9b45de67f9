"""From a client's body to a Use: whose it is and whom it is attributed to."""

from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _
from rest_framework.request import Request

from accounts.api_keys import Principal
from accounts.authentication import SESSION, principal_of
from accounts.models import ApiKey
from core.problems import Problem
from usage import projects
from usage.charging import Use


def use_of(request: Request, account_id: UUID, body: dict[str, Any]) -> Use:
    """The use that a checked body (inputs.ServiceUse) tells of. Raises UnknownProject, UnknownMember."""
    principal = principal_of(request)
    project, member = body.get("project"), body.get("member")
    return Use(
        account_id=account_id,
        service=body["service"],
        action=body.get("action") or "",
        usage=body.get("usage") or {},
        options=body.get("options") or {},
        project_id=projects.live_project_id(account_id, project) if project else None,
        member_id=_member(principal, account_id, member),
        api_key_id=None if principal.kind == SESSION else principal.id,
        conversation=body.get("conversation") or "",
        metadata=body.get("metadata") or {},
        own_key=body.get("own_key", False),
        estimate=body.get("estimate") or "",
    )


def _member(principal: Principal, account_id: UUID, named: str | None) -> UUID | None:
    """The member named, else the maker of the account's key. One who may not manage the account cannot put
    uses on another's name, and so past the own cap."""
    if not named:
        return principal.member_id
    member_id = projects.member_id(account_id, named)
    if (
        member_id != principal.member_id
        and not principal.is_platform
        and not principal.may(ApiKey.Scope.MANAGE)
    ):
        raise Problem(
            403,
            "missing_scope",
            _("This key needs the scope “manage” to charge for another member."),
            scope="manage",
        )
    return member_id
