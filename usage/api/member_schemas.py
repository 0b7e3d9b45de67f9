"""Requests and responses of /members, /invitations and /keys."""

from typing import Annotated, Any, Literal, TypedDict

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts import models
from accounts.models import ApiKey, Membership
from core.fields import AccountNamed, Credits, Instant, Name, Text
from core.json_types import CreditsText, EmailText, TimeText, id_of
from usage.api.response_schemas import KeyId, MemberId

MembershipId = Annotated[str, id_of(Membership)]
InvitationId = Annotated[str, id_of(models.Invitation)]
MemberRole = Annotated[str, Membership.Role]

MONTHLY_HELP = "Credits that may be spent in a calendar month of the account's time zone; null: no limit."
DAILY_HELP = "Credits that may be spent in a day of the account's time zone; null: no limit."


@extend_schema_field({"type": "string", "format": "email"})
class Address(Text):
    """An e-mail address."""

    default_error_messages = {"invalid_email": _("Send an e-mail address such as “ann@example.org”.")}

    def to_internal_value(self, data: Any) -> str:
        value = super().to_internal_value(data)
        try:
            serializers.EmailField(max_length=254).run_validation(value)
        except serializers.ValidationError:
            self.fail("invalid_email")
        return value.lower()


class Terms(AccountNamed):
    """A role and a limit."""

    role = serializers.ChoiceField(choices=Membership.Role.choices, required=False, default="member")
    monthly_limit = Credits(required=False, allow_null=True, help_text=MONTHLY_HELP)


class InvitationInput(Terms):
    email = Address(max_length=254)


class MemberInput(Terms):
    """Who is added or invited: an address, or, with a platform key, a user."""

    exactly_one_of = ("email", "user")

    user = Text(
        required=False,
        max_length=255,
        help_text="For platform keys: the user's id, or the external id of the user's own account.",
    )
    email = Address(required=False, max_length=254, help_text="An address that the user has verified.")


class MemberChange(AccountNamed):
    role = serializers.ChoiceField(choices=Membership.Role.choices, required=False)
    monthly_limit = Credits(required=False, allow_null=True, help_text=MONTHLY_HELP)


class Scopes(serializers.ListField):
    """At least one scope."""

    def __init__(self, **options: Any) -> None:
        child = serializers.ChoiceField(choices=ApiKey.Scope.choices)
        super().__init__(child=child, min_length=1, max_length=len(ApiKey.Scope.values), **options)


class KeyInput(AccountNamed):
    name = Name(max_length=100)
    scopes = Scopes()
    daily_limit = Credits(required=False, allow_null=True, help_text=DAILY_HELP)
    monthly_limit = Credits(required=False, allow_null=True, help_text=MONTHLY_HELP)
    expires_at = Instant(required=False, allow_null=True)
    member = Text(
        required=False,
        max_length=100,
        help_text="For platform keys, which must send it: the member with whose membership the key ends.",
    )


class KeyChange(AccountNamed):
    name = Name(required=False, max_length=100)
    scopes = Scopes(required=False)
    daily_limit = Credits(required=False, allow_null=True, help_text=DAILY_HELP)
    monthly_limit = Credits(required=False, allow_null=True, help_text=MONTHLY_HELP)
    expires_at = Instant(required=False, allow_null=True)


class Member(TypedDict):
    """A member of the account. `user` is the id that uses name in `member`."""

    id: MembershipId
    user: MemberId
    email: EmailText
    name: str
    role: MemberRole
    monthly_limit: CreditsText | None
    created_at: TimeText


class Invitation(TypedDict):
    """An invitation. Its link is sent to the address and appears in no response."""

    id: InvitationId
    email: EmailText
    role: MemberRole
    monthly_limit: CreditsText | None
    status: Annotated[str, Literal["open", "accepted", "revoked", "expired"]]
    created_at: TimeText
    expires_at: TimeText


class Key(TypedDict):
    """An API key of the account, without its secret."""

    id: KeyId
    name: str
    prefix: str
    scopes: list[Annotated[str, ApiKey.Scope]]
    member: MemberId | None
    daily_limit: CreditsText | None
    monthly_limit: CreditsText | None
    expires_at: TimeText | None
    created_at: TimeText
    last_used_at: TimeText | None
    revoked_at: TimeText | None


class NewKey(Key):
    """A new API key. `secret` is shown in this response only."""

    secret: str
