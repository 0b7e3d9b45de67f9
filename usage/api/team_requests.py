"""/team-requests: a member asks for a family or business account; staff decide in the admin."""

from typing import Annotated, TypedDict
from uuid import UUID

from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request

from accounts import team_requests
from accounts.authentication import account_of, principal_of
from accounts.models import Account, TeamRequest, User
from core import json_body, problems
from core.endpoint import Endpoint, query_of
from core.errors import DomainError, Refusal
from core.fields import AccountNamed, AccountQuery, Name, Text, instant, instant_or_none
from core.json_types import TimeText, id_of
from core.pagination import Page, PageQuery, page
from core.problems import field_problem
from pricing.catalogue import cache as catalogue_cache
from usage import selectors
from usage.api.response_schemas import AccountId


class TeamRequestInput(AccountNamed):
    kind = serializers.ChoiceField(choices=TeamRequest.Kind.choices)
    name = Name(max_length=200, help_text="Name of the team.")
    note = Text(required=False, allow_blank=True, max_length=2000, help_text="What it is needed for.")


class TeamRequestAnswer(TypedDict):
    """A request for a team account. `account` is the team that was opened."""

    id: Annotated[str, id_of(TeamRequest)]
    kind: Annotated[str, TeamRequest.Kind]
    name: str
    note: str
    status: Annotated[str, TeamRequest.Status]
    answer: Annotated[str, "What staff answered."]
    account: AccountId | None
    created_at: TimeText
    answered_at: TimeText | None


class NoTeams(DomainError):
    """The product has no team accounts."""

    code, status = "not_found", 404

    def detail(self) -> str:
        return ""


class NoPerson(Refusal):
    """The account belongs to no person, and only a person can ask for a team."""

    code = "no_person"

    def __init__(self) -> None:
        super().__init__(_("No person owns this account. Add members to it instead."))


class TeamRequests(Endpoint):
    """Requests of the member for a team account, and asking for one."""

    scopes = {"GET": "manage", "POST": "manage"}
    every_member = True
    raises = {"POST": (NoTeams, NoPerson, team_requests.AlreadyRequested)}

    @extend_schema(parameters=[PageQuery], responses=Page[TeamRequestAnswer])
    def get(self, request: Request) -> HttpResponse:
        """The member's requests, newest first. With a platform key: those of the account's person."""
        query = query_of(request, PageQuery)
        rows = TeamRequest.objects.filter(user_id=_person(request, query.get("account")))
        return json_body.answer(page(rows, query, keys=("created_at", "id"), build=_request))

    @extend_schema(request=TeamRequestInput, responses={201: TeamRequestAnswer})
    def post(self, request: Request) -> HttpResponse:
        """Ask for a family or business account, whose owner the member becomes when staff approve.

        The member's own account stays as it is. The answer is sent by e-mail.
        """
        body = TeamRequestInput.checked(request.data)
        person = User.objects.filter(pk=_person(request, body.get("account"))).first()
        policy = catalogue_cache.current().policies.teams
        if policy is None:
            raise NoTeams
        if person is None:
            raise NoPerson
        if body["kind"] not in policy.kinds:
            offered = ", ".join(policy.kinds)
            text = _("There are no accounts of this kind. Send one of: %(kinds)s.") % {"kinds": offered}
            raise field_problem("kind", "not_offered", text)
        asked = team_requests.create(
            user=person, kind=body["kind"], name=body["name"], note=body.get("note", ""), now=self.now
        )
        return json_body.answer(_request(asked), 201)


class OneTeamRequest(Endpoint):
    """Withdraw a request for a team account."""

    scopes = {"DELETE": "manage"}
    every_member = True
    raises = {"DELETE": (team_requests.AlreadyAnswered,)}
    path_ids = {"team_request": TeamRequest}

    @extend_schema(parameters=[AccountQuery], responses={204: None})
    def delete(self, request: Request, team_request: str) -> HttpResponse:
        """Withdraw a request that is open."""
        query_of(request, AccountQuery)
        team_requests.withdraw(_found(request, team_request).pk)
        return HttpResponse(status=204)


def _found(request: Request, public_id: str) -> TeamRequest:
    """The request, if `_person` made it; a platform key may leave the account out. Raises Problem (404)."""
    found = TeamRequest.with_public_id(public_id)
    named = "account" in request.query_params or not principal_of(request).is_platform
    if found is None or (named and found.user_id != _person(request, None)):
        raise problems.not_found()
    return found


def _person(request: Request, named: str | None) -> UUID:
    """Whose requests these are: the member who acts, or with a platform key the person of the account.

    NO_ID for an account of no person.
    """
    account_id = account_of(request, named)
    member_id = principal_of(request).member_id
    person_id = Account.objects.values_list("person_id", flat=True).get(pk=account_id)
    return member_id or person_id or selectors.NO_ID


def _request(asked: TeamRequest) -> TeamRequestAnswer:
    return {
        "id": asked.public_id,
        "kind": asked.kind,
        "name": asked.name,
        "note": asked.note,
        "status": asked.status,
        "answer": asked.answer,
        "account": Account.public_id_of(asked.account_id),
        "created_at": instant(asked.created_at),
        "answered_at": instant_or_none(asked.answered_at),
    }
