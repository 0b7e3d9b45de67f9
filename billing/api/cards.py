"""/payment-method: the saved card that pays automatic top-ups and the plan."""

import uuid

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from accounts.authentication import account_of
from accounts.models import Account
from billing import selectors, stripe_gateway
from billing.api import response_schemas
from billing.api.purchases import OF_STRIPE
from billing.payments import cards
from core import idempotency, json_body
from core.endpoint import Endpoint, query_of
from core.fields import AccountNamed, AccountQuery


class PaymentMethod(Endpoint):
    """The saved card of automatic top-ups, and the payment method that the plan is charged to."""

    scopes = {"GET": "manage", "POST": "manage", "DELETE": "manage"}
    raises = {"POST": OF_STRIPE, "DELETE": (*OF_STRIPE, cards.CardPaysPlan)}
    takes_key = "optional"

    @extend_schema(parameters=[AccountQuery], responses=response_schemas.PaymentMethodAnswer)
    def get(self, request: Request) -> HttpResponse:
        query = query_of(request, AccountQuery)
        profile = selectors.profile_of(account_of(request, query.get("account")))
        answer: response_schemas.PaymentMethodAnswer = {
            "card": card_of(profile.card_brand, profile.card_last4, profile.card_expires)
            if profile.card_id
            else None,
            "plan": card_of(profile.plan_card_brand, profile.plan_card_last4, profile.plan_card_expires)
            if profile.plan_card_id
            else None,
        }
        return json_body.answer(answer)

    @extend_schema(request=AccountNamed, responses={201: response_schemas.CardPage})
    def post(self, request: Request) -> HttpResponse:
        """Create a page on which the buyer saves a card; it then pays the plan and automatic top-ups."""
        key = idempotency.optional_key_of(request)
        body = AccountNamed.checked(request.data)
        account = Account.objects.get(pk=account_of(request, body.get("account")))

        def create_page() -> tuple[int, response_schemas.CardPage]:
            short_key = (
                uuid.uuid5(account.pk, key) if key else uuid.uuid4()
            )  # Stripe's: 255 characters at most
            return 201, {"url": cards.setup_page_url(account, key=short_key.hex)}

        return idempotency.once(
            request, owner=account.pk, key=key, now=self.now, act=create_page, atomic=False
        )

    @extend_schema(parameters=[AccountQuery], responses={204: None})
    def delete(self, request: Request) -> HttpResponse:
        """Remove the card of automatic top-ups. A card that pays a running plan must be replaced first."""
        query = query_of(request, AccountQuery)
        try:
            cards.remove_card(account_of(request, query.get("account")), self.now)
        except cards.StaleCards:
            raise stripe_gateway.StripeUnavailable from None
        return HttpResponse(status=204)


class CustomerPortal(Endpoint):
    """Create a page of Stripe's customer portal: card, address and invoices of the account."""

    scopes = {"POST": "manage"}
    raises = {"POST": OF_STRIPE}

    @extend_schema(request=AccountNamed, responses={201: response_schemas.CustomerPortal})
    def post(self, request: Request) -> HttpResponse:
        body = AccountNamed.checked(request.data)
        account = Account.objects.get(pk=account_of(request, body.get("account")))
        answer: response_schemas.CustomerPortal = {"url": cards.portal_url(account)}
        return json_body.answer(answer, 201)


def card_of(brand: str, last4: str, expires: str) -> response_schemas.Card:
    return {"brand": brand, "last4": last4, "expires": expires}
