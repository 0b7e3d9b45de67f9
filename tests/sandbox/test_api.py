"""The API's manners: keys, parameters, errors, pages, expansion, metadata."""

from typing import Any

import pytest
import stripe
from django.test import Client

CUSTOMERS = "/sandbox/stripe/v1/customers"
KEY = {"Authorization": "Bearer sk_test_sandbox"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer sk_test_other"},
        {"Authorization": "Basic !!"},
        {"Authorization": "Bearer schlüssel"},
    ],
)
def test_it_wants_the_secret_key(db: None, client: Client, headers: dict[str, str]) -> None:
    answer = client.get(CUSTOMERS, headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_it_takes_the_key_by_basic_authentication_too(db: None, client: Client) -> None:
    # "sk_test_sandbox:" in base64
    answer = client.get(CUSTOMERS, headers={"Authorization": "Basic c2tfdGVzdF9zYW5kYm94Og=="})
    assert answer.json()["object"] == "list"


def test_it_sets_no_cookie_and_needs_no_csrf_token(db: None) -> None:
    strict = Client(enforce_csrf_checks=True)
    answer = strict.post(CUSTOMERS, "name=Ann", headers=KEY, content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 200
    assert not answer.cookies


@pytest.mark.parametrize(
    ("form", "code", "param"),
    [
        ("amount=100&currency=usd&amout=1", "parameter_unknown", "amout"),
        ("amount=100&currency=usd&shipping[nam]=x", "parameter_unknown", "shipping[nam]"),
        ("currency=usd", "parameter_missing", "amount"),
        ("amount=ten&currency=usd", "parameter_invalid_integer", "amount"),
        ("amount=1e3&currency=usd", "parameter_invalid_integer", "amount"),
        ("amount=10.5&currency=usd", "parameter_invalid_integer", "amount"),
        ("amount=100&currency=usd&confirm=yes", None, "confirm"),
        ("amount=100&currency=usd&setup_future_usage=sometimes", None, "setup_future_usage"),
        ("amount=100&currency=usd&metadata=x", "parameter_invalid_object", "metadata"),
        ("amount=100&currency=usd&payment_method_types[0]=card", "parameter_unknown", "payment_method_types"),
        (
            "amount=100&currency=usd&allowed_payment_method_types[0]=cash",
            None,
            "allowed_payment_method_types[0]",
        ),
        ("amount=-5&currency=usd", "parameter_invalid_integer", "amount"),
        ("amount[a]=1&currency=usd", "parameter_invalid_integer", "amount"),
        ("amount=100&currency=usd&" + "a[b]" * 20 + "=1", "parameter_unknown", None),
    ],
)
def test_a_wrong_parameter_is_named(
    db: None, client: Client, form: str, code: str | None, param: str | None
) -> None:
    answer = client.post(
        "/sandbox/stripe/v1/payment_intents",
        form,
        content_type="application/x-www-form-urlencoded",
        headers=KEY,
    )
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert error.get("code") == code
    assert param is None or error["param"] == param


def test_what_stripe_knows_and_the_sandbox_does_not_is_refused_loudly(v1: Any) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        v1.payment_intents.create({"amount": 100, "currency": "usd", "capture_method": "manual"})
    assert refused.value.code == "sandbox_gap"


def test_unknown_things_are_404_in_the_path_and_400_as_parameter(v1: Any) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        v1.customers.retrieve("cus_nobody")
    assert (refused.value.http_status, refused.value.code) == (404, "resource_missing")
    with pytest.raises(stripe.InvalidRequestError) as refused:
        v1.payment_intents.create({"amount": 100, "currency": "usd", "customer": "cus_nobody"})
    assert (refused.value.http_status, refused.value.param) == (400, "customer")
    with pytest.raises(stripe.InvalidRequestError) as refused:
        v1.topups.list()
    assert refused.value.http_status == 404


def test_lists_come_in_pages_both_ways(v1: Any) -> None:
    made = [v1.customers.create({"name": f"Customer {number}"}).id for number in range(5)]
    newest_first = list(reversed(made))
    first = v1.customers.list({"limit": 2})
    assert ([c.id for c in first.data], first.has_more) == (newest_first[:2], True)
    after = v1.customers.list({"limit": 3, "starting_after": newest_first[1]})
    assert ([c.id for c in after.data], after.has_more) == (newest_first[2:], False)
    before = v1.customers.list({"limit": 1, "ending_before": newest_first[2]})
    assert ([c.id for c in before.data], before.has_more) == ([newest_first[1]], True)
    assert [c.id for c in v1.customers.list({"limit": 2}).auto_paging_iter()] == newest_first
    for limit in (0, 101):
        with pytest.raises(stripe.InvalidRequestError):
            v1.customers.list({"limit": limit})


def test_lists_can_be_narrowed_by_their_creation(v1: Any) -> None:
    made = v1.customers.create({})
    assert len(v1.customers.list({"created": {"gte": made.created}}).data) == 1
    assert v1.customers.list({"created": {"gt": made.created + 5}}).data == []
    assert v1.customers.list({"created": {"lt": made.created}}).data == []


def test_only_what_leads_somewhere_expands(v1: Any) -> None:
    intent = v1.payment_intents.create(
        {
            "amount": 100,
            "currency": "usd",
            "payment_method": "pm_card_visa",
            "confirm": True,
            "expand": ["latest_charge.refunds"],
        }
    )
    assert intent.latest_charge.refunds.data == []
    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        v1.payment_intents.retrieve(intent.id, {"expand": ["amount"]})
    listed = v1.payment_intents.list({"expand": ["data.latest_charge"]})
    assert listed.data[0].latest_charge.paid


def test_metadata_is_merged_and_emptied_as_at_stripe(v1: Any) -> None:
    made = v1.customers.create({"metadata": {"a": "1", "b": "2"}})
    changed = v1.customers.update(made.id, {"metadata": {"b": "", "c": "3"}})
    assert changed.metadata.to_dict() == {"a": "1", "c": "3"}
    assert v1.customers.update(made.id, {"metadata": ""}).metadata.to_dict() == {}


def test_a_detached_card_is_never_used_again(v1: Any, customer: Any) -> None:
    owner = customer()
    card = v1.customers.retrieve(owner.id).invoice_settings.default_payment_method
    v1.payment_methods.detach(card)
    assert v1.customers.retrieve(owner.id).invoice_settings.default_payment_method is None
    with pytest.raises(stripe.InvalidRequestError):
        v1.payment_methods.attach(card, {"customer": owner.id})


def test_events_can_be_asked_for_by_type(v1: Any) -> None:
    v1.products.create({"name": "Pack"})
    v1.customers.create({})
    assert [event.type for event in v1.events.list({"type": "customer.*"}).data] == ["customer.created"]
    assert [event.type for event in v1.events.list({"types": ["product.created"]}).data] == [
        "product.created"
    ]
    event = v1.events.list().data[0]
    assert v1.events.retrieve(event.id).data.object.id == event.data.object.id
    assert (event.livemode, event.api_version) == (False, stripe.api_version)
