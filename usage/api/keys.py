"""/keys: the API keys of an account. A secret is in the response to the creation of its key, in no other."""

from django.http import HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from accounts import account_keys, api_keys, memberships
from accounts.authentication import account_of, object_of, principal_of
from accounts.models import ApiKey, User
from core import json_body
from core.amounts import plain_or_none
from core.endpoint import Endpoint, query_of
from core.fields import AccountQuery, instant, instant_or_none
from core.pagination import Page, PageQuery, page
from core.problems import field_problem
from core.unset import UNSET
from usage import projects
from usage.api import member_schemas


class Keys(Endpoint):
    """Keys of the account, and creating one."""

    scopes = {"GET": "manage", "POST": "manage"}
    raises = {"POST": (account_keys.KeyIsLimited, api_keys.TooManyKeys, projects.UnknownMember)}

    @extend_schema(parameters=[PageQuery], responses=Page[member_schemas.Key])
    def get(self, request: Request) -> HttpResponse:
        """Keys of the account, newest first, revoked and expired ones included."""
        query = query_of(request, PageQuery)
        rows = ApiKey.objects.filter(account_id=account_of(request))
        return json_body.answer(page(rows, query, keys=("created_at", "id"), build=_key))

    @extend_schema(request=member_schemas.KeyInput, responses={201: member_schemas.NewKey})
    @sensitive_variables("issued")
    def post(self, request: Request) -> HttpResponse:
        """Create a key. Its secret is in this response only."""
        body = member_schemas.KeyInput.checked(request.data)
        account_id = account_of(request, body.get("account"))
        principal = principal_of(request)
        if principal.is_platform:
            if "member" not in body:
                raise field_problem("member", "required", _("Send the member with whom the key ends."))
            member_id = projects.member_id(account_id, body["member"])
        else:
            assert principal.member_id is not None
            member_id = principal.member_id
            if body.get("member") not in (None, User.public_id_of(member_id)):
                raise field_problem("member", "other_member", _("A key is created for its own creator."))
        issued = account_keys.create(
            account_id=account_id,
            by=principal,
            member_id=member_id,
            name=body["name"],
            scopes=body["scopes"],
            daily_limit=body.get("daily_limit"),
            monthly_limit=body.get("monthly_limit"),
            expires_at=body.get("expires_at"),
            now=self.now,
        )
        return json_body.answer({**_key(issued.key), "secret": issued.secret}, 201)


class OneKey(Endpoint):
    """Change a key's limits, expiry and scopes; revoke it."""

    scopes = {"PATCH": "manage", "DELETE": "manage"}
    raises = {"PATCH": (account_keys.KeyIsLimited, account_keys.KeyRevoked, memberships.RoleNotAllowed)}
    path_ids = {"key": ApiKey}

    @extend_schema(request=member_schemas.KeyChange, responses=member_schemas.Key)
    def patch(self, request: Request, key: str) -> HttpResponse:
        """Change the name, scopes, limits or expiry of a key."""
        body = member_schemas.KeyChange.checked(request.data)
        found = object_of(request, ApiKey, key, body.get("account"))
        changed = account_keys.change(
            found,
            by=principal_of(request),
            name=body.get("name"),
            scopes=body.get("scopes"),
            daily_limit=body.get("daily_limit", UNSET),
            monthly_limit=body.get("monthly_limit", UNSET),
            expires_at=body.get("expires_at", UNSET),
            now=self.now,
        )
        return json_body.answer(_key(changed))

    @extend_schema(parameters=[AccountQuery], responses={204: None})
    def delete(self, request: Request, key: str) -> HttpResponse:
        """Revoke a key. When this has been answered, the key is refused everywhere."""
        query_of(request, AccountQuery)
        api_keys.revoke(object_of(request, ApiKey, key), self.now)
        return HttpResponse(status=204)


def _key(key: ApiKey) -> member_schemas.Key:
    return {
        "id": key.public_id,
        "name": key.name,
        "prefix": key.prefix,
        "scopes": key.scopes,
        "member": User.public_id_of(key.created_by_id),
        "daily_limit": plain_or_none(key.daily_limit),
        "monthly_limit": plain_or_none(key.monthly_limit),
        "expires_at": instant_or_none(key.expires_at),
        "created_at": instant(key.created_at),
        "last_used_at": instant_or_none(key.last_used_at),
        "revoked_at": instant_or_none(key.revoked_at),
    }
