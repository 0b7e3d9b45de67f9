"""Stripe's reasons of declined payments are shown in the reader's language."""

from collections.abc import Callable
from unittest import mock

import pytest
from django.test import Client
from django.utils import translation

from accounts.models import User
from billing import stripe_gateway
from billing.stripe_gateway import decline_messages
from pricing.catalogue import texts
from sandbox.objects import stripe_test_cards

pytestmark = pytest.mark.django_db


def test_every_message_of_the_test_cards_is_known_and_translated(catalogue: None) -> None:
    sent = {message for _code, message in stripe_test_cards.DECLINES.values()}
    assert sent <= set(decline_messages.KNOWN)
    with translation.override("zh-hans"):
        shown = {message: texts.translated(message) for message in decline_messages.KNOWN}
    assert [message for message, text in shown.items() if text == message] == []


@pytest.mark.parametrize(
    ("path", "request_of"),
    [
        ("/billing/overdue/", "billing.views.cards.overdue.pay"),
        ("/billing/auto-top-up/confirm/", "billing.views.settings.auto_top_up.confirm_failed_payment"),
    ],
)
def test_a_decline_on_a_page_is_in_the_language_of_the_page(
    alice: User, signed_in: Callable[[User], Client], path: str, request_of: str
) -> None:
    declined = stripe_gateway.CardDeclined("insufficient_funds", "Your card has insufficient funds.")
    User.objects.filter(pk=alice.pk).update(language="zh-hans")
    with mock.patch(request_of, side_effect=declined):
        page = signed_in(alice).post(path, {"key": "4e3a1f5e-7f9e-4a4c-8f0e-2b1c3d4e5f60"}, follow=True)
    assert "余额不足" in page.content.decode()
