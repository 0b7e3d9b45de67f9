"""/referral-link and /referrals: the account's invitation link for other people, and who used it."""

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from accounts.authentication import account_of
from accounts.models import Account
from billing.api import response_schemas
from billing.models import Referral
from billing.promotions import referrals
from core import json_body
from core.amounts import plain
from core.endpoint import Endpoint, query_of
from core.errors import DomainError
from core.fields import AccountQuery, instant, instant_or_none
from core.pagination import Page, PageQuery, page
from pricing.catalogue import cache as catalogue_cache


class NoReferrals(DomainError):
    """The product gives no credits for invitations."""

    code, status = "not_found", 404

    def detail(self) -> str:
        return ""


class ReferralLink(Endpoint):
    """The account's invitation link, and what it gives to both sides."""

    scopes = {"GET": "read"}
    raises = {"GET": (NoReferrals,)}

    @extend_schema(parameters=[AccountQuery], responses=response_schemas.ReferralLinkAnswer)
    def get(self, request: Request) -> HttpResponse:
        query = query_of(request, AccountQuery)
        account = Account.objects.get(pk=account_of(request, query.get("account")))
        policy = catalogue_cache.current().policies.referral
        if policy is None:
            raise NoReferrals
        answer: response_schemas.ReferralLinkAnswer = {
            "code": referrals.code_of(account),
            "url": referrals.link_of(account),
            "inviter_credits": plain(policy.inviter_credits),
            "invited_credits": plain(policy.invited_credits),
            "qualifies": policy.qualifies,
            "services": list(policy.services) if policy.services else None,
            "most_invitations": policy.most_invitations,
        }
        return json_body.answer(answer)


class Referrals(Endpoint):
    """Accounts that signed up through the account's invitation link, newest first."""

    scopes = {"GET": "read"}

    @extend_schema(parameters=[PageQuery], responses=Page[response_schemas.Referral])
    def get(self, request: Request) -> HttpResponse:
        query = query_of(request, PageQuery)
        rows = Referral.objects.filter(inviter_id=account_of(request, query.get("account")))
        return json_body.answer(page(rows, query, keys=("created_at", "id"), build=_referral))


def _referral(referral: Referral) -> response_schemas.Referral:
    return {
        "id": referral.public_id,
        "state": referral.state,
        "reason": referral.reason or None,
        "created_at": instant(referral.created_at),
        "rewarded_at": instant_or_none(referral.rewarded_at),
    }
