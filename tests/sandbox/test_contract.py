"""Compares the sandbox with the installed SDK: endpoints, parameters and objects."""

from datetime import UTC, datetime
from typing import Any

import stripe
from django.utils import timezone

from sandbox import calls, scheduled_actions, store
from sandbox.api import routes, sdk_types
from sandbox.models import Resource
from sandbox.objects import disputes, events, refunds
from tests.sandbox import sdk_shapes
from tests.sandbox.conftest import IBAN, US_TRANSFER
from tests.some import some


def test_every_endpoint_of_the_sdk_has_readable_parameter_types() -> None:
    endpoints = sdk_types.endpoints()
    assert len(endpoints) > 500
    for endpoint in endpoints.values():
        declared = endpoint.params_type()
        if declared is not None:
            assert set(sdk_types.required(declared)) <= set(sdk_types.fields(declared))


def test_every_route_is_an_endpoint_of_the_sdk_with_parameters_of_stripe() -> None:
    for route in some(routes.ROUTES):
        declared = sdk_types.endpoints()[route.method, route.path].params_type()
        fields = set(sdk_types.fields(declared)) if declared else set()
        assert route.supported - {"expand"} <= fields, route.path
        assert set(sdk_types.required(declared)) <= route.supported if declared else True, route.path


def test_no_endpoint_has_two_routes() -> None:
    named = [(route.method, route.path) for route in routes.ROUTES]
    assert len(named) == len(set(named))


def test_the_comparison_finds_differences(v1: Any) -> None:
    good = v1.customers.create({}).to_dict()
    assert sdk_shapes.faults(good) == []
    for broken, words in (
        ({key: value for key, value in good.items() if key != "created"}, "created is missing"),
        (good | {"balance": "0"}, "balance is '0'"),
        (good | {"livemode": None}, "livemode is None"),
        (good | {"credits": 1}, "credits is not a field"),
        (good | {"tax_exempt": "maybe"}, "not one of"),
        (good | {"invoice_settings": {"default_payment_method": 5}}, "default_payment_method"),
    ):
        assert any(words in fault for fault in sdk_shapes.faults(broken)), words


def test_every_object_and_event_has_the_type_of_the_sdk(
    v1: Any, checkout: Any, buyer: Any, customer: Any, price: Any, event_types: Any
) -> None:
    create_everything(v1, checkout, buyer, customer, price)
    kinds = set()
    found = set()
    for row in Resource.objects.all():
        kinds.add(row.kind)
        found |= set(sdk_shapes.faults(store.public(row.body)))
    assert found == set()
    assert kinds == {*store.PREFIXES} - {"item", "line_item", "subscription_item", "invoiceitem"}
    listed = Resource.objects.filter(kind="checkout.session").first()
    assert listed is not None
    expanded = v1.checkout.sessions.retrieve(listed.stripe_id, {"expand": ["payment_intent.latest_charge"]})
    assert sdk_shapes.faults(expanded.last_response.data) == []
    _check_event_types()


def _check_event_types() -> None:
    """Every event type is one that a webhook endpoint can enable."""
    sent = set(Resource.objects.filter(kind="event").values_list("body__type", flat=True))
    endpoint = sdk_types.endpoints()["post", "/v1/webhook_endpoints"]
    named = str(sdk_types.fields(endpoint.params_type())["enabled_events"])
    assert len(sent) > 30
    assert not {name for name in sent if f"'{name}'" not in named}
    assert stripe.api_version == events.API_VERSION


def create_everything(v1: Any, checkout: Any, buyer: Any, customer: Any, price: Any) -> None:
    """Create at least one object of every kind, in several states."""
    buy_packs(v1, checkout, buyer, customer)
    subscribe(v1, buyer, customer, price)


def buy_packs(v1: Any, checkout: Any, buyer: Any, customer: Any) -> None:
    for card in ("4000 0000 0000 0002", "4242 4242 4242 4242", "4000 0000 0000 0259"):
        buyer.pay(checkout().url, card)
    disputes.decide(store.where("dispute")[0], calls.without_request(timezone.now()), won=True)
    v1.refunds.create({"charge": store.where("charge")[0]["id"], "amount": 10})
    buyer.pay(checkout().url, "4000 0000 0000 5126")
    v1.refunds.create({"charge": store.where("charge")[0]["id"]})
    buyer.pay((session := checkout()).url, "4000 0027 6000 3184")
    buyer.open(authentication := buyer.redirect)
    buyer.submit(authentication, decision="fail")
    v1.checkout.sessions.expire(session.id)
    for method in ("alipay", "customer_balance"):
        options = {"payment_method_options": {method: US_TRANSFER}} if method == "customer_balance" else {}
        session = checkout(allowed_payment_method_types=[method], **options)
        buyer.open(session.url)
        buyer.submit(session.url, method=method)
    buyer.open(wallet := v1.payment_intents.list().data[1].next_action.redirect_to_url.url)
    buyer.submit(wallet, decision="later")
    scheduled_actions.settle_pending(timezone.now())
    scheduled_actions.run_due(timezone.now() + refunds.COMPLETES_AFTER)


def subscribe(v1: Any, buyer: Any, customer: Any, price: Any) -> None:
    november = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp())
    owner = customer(at=november)
    success_url = "http://shop.example"
    saving = v1.checkout.sessions.create(
        {"mode": "setup", "customer": owner.id, "currency": "usd", "success_url": success_url}
    )
    buyer.pay(saving.url)
    debit = v1.checkout.sessions.create(
        {
            "mode": "subscription",
            "customer": owner.id,
            "success_url": success_url,
            "line_items": [{"price": price(currency="eur").id, "quantity": 1}],
            "allowed_payment_method_types": ["sepa_debit"],
        }
    )
    buyer.open(debit.url)
    buyer.submit(debit.url, method="sepa_debit", iban=IBAN)
    plan = v1.subscriptions.create({"customer": owner.id, "items": [{"price": price().id}]})
    change = [{"id": plan["items"].data[0].id, "price": price(6000).id}]
    details = {"items": change, "proration_behavior": "always_invoice"}
    preview = v1.invoices.create_preview({"subscription": plan.id, "subscription_details": details})
    assert sdk_shapes.faults(preview.last_response.data) == []
    v1.subscriptions.update(plan.id, details)
    v1.test_helpers.test_clocks.advance(plan.test_clock, {"frozen_time": november + 40 * 86400})
    failing = v1.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": owner.id}).id
    v1.subscriptions.update(plan.id, {"default_payment_method": failing})
    v1.test_helpers.test_clocks.advance(plan.test_clock, {"frozen_time": november + 100 * 86400})
    v1.billing_portal.sessions.create({"customer": owner.id})
    currency = v1.customers.retrieve(owner.id).currency
    v1.customers.balance_transactions.create(owner.id, {"amount": -500, "currency": currency})
