"""Every figure of the five products through the API: services are listed, estimated and compared."""

from decimal import Decimal

import pytest

from tests.pricing.test_other_products import RECRAFT
from tests.pricing.test_refly import AUDIO, IMAGE, TEXT, VIDEO
from tests.some import some


@pytest.fixture
def product(load, request, account_of, api_of):
    """`product("recraft")`: an API client of an account in an installation with the catalogue of Recraft."""

    def of(name):
        load(name)
        alice = request.getfixturevalue("alice")
        return api_of(alice)

    return of


def services(api):
    listed, cursor = [], {}
    while True:
        page = api.get("services", limit=100, **cursor).json()
        listed += page["data"]
        if not page["has_more"]:
            return {service["name"]: service for service in listed}
        cursor = {"cursor": page["next_cursor"]}


def estimate(api, **use):
    response = api.post("estimates", use)
    assert response.status_code == 200, response.content
    return response.json()["credits"]


@pytest.mark.requirement("REFLY-13", "REFLY-14", "REFLY-15", "REFLY-16", "REFLY-17")
def test_refly(product):
    api = product("refly")
    by_name = services(api)
    for table, meter, count in (
        (TEXT, "tokens", 5000),
        (IMAGE, "images", 1),
        (VIDEO, "seconds", 1),
        (AUDIO, "uses", 1),
    ):
        for name, credits in table.items():
            assert estimate(api, service=by_name[name]["key"], usage={meter: count}) == str(credits), name
    assert estimate(api, service="claude-sonnet-4", usage={"tokens": 2500}) == "5.5"
    assert (
        estimate(api, service="claude-sonnet-4", usage={"input_tokens": 1200, "output_tokens": 1300}) == "5.5"
    )
    assert estimate(api, service="seedance-1-lite", usage={"seconds": 2.5}) == "24.5"
    for name in ("File upload", "Document question", "Workflow run", "Agent run"):
        assert Decimal(estimate(api, service=by_name[name]["key"], usage={"uses": 1})) > 0


@pytest.mark.requirement("APIN-04", "APIN-05")
def test_apinfer(product):
    api = product("apinfer")
    qwen = services(api)["Qwen-Image"]
    assert qwen["tier"] == "standard"
    for resolution in ("512x512", "4096x4096"):
        for quality, credits in (("standard", "1.75"), ("high", "2.625"), ("ultra", "3.5")):
            options = {"quality": quality, "resolution": resolution}
            assert estimate(api, service=qwen["key"], usage={"images": 1}, options=options) == credits


@pytest.mark.requirement("RECR-01")
def test_recraft(product):
    api = product("recraft")
    by_name = services(api)
    assert [name for name, service in by_name.items() if service["kind"] == "action"] == [
        name for name, _ in RECRAFT
    ]
    models = [service for service in by_name.values() if service["kind"] == "model"]
    for name, credits in RECRAFT:
        action = by_name[name]
        if credits != "model":
            assert estimate(api, service=action["key"], usage={"uses": 1}) == str(credits), name
            continue
        assert action["cost_of_model"]
        for model in models:
            alone = estimate(api, service=model["key"], usage={"uses": 1})
            assert estimate(api, service=model["key"], action=action["key"], usage={"uses": 1}) == alone


@pytest.mark.requirement("FLOW-06", "FLICK-01", "FLICK-02")
@pytest.mark.parametrize("name", ["flowly", "codeflicker"])
def test_models_are_priced_by_input_and_output_tokens(product, name):
    api = product(name)
    for service in some(services(api).values()):
        less, more = ({"input_tokens": 1000, "output_tokens": out} for out in (100, 1000))
        small, large = (Decimal(estimate(api, service=service["key"], usage=usage)) for usage in (less, more))
        assert 0 < small < large
        assert service["speed"] and service["usage_class"] and service["best_for"]


@pytest.mark.requirement("REFLY-13")
@pytest.mark.parametrize("name", ["refly", "codeflicker", "apinfer", "flowly", "recraft"])
def test_every_service_can_be_estimated_from_a_text(product, name):
    api = product(name)
    by_name = services(api)
    model = next(service["key"] for service in by_name.values() if service["kind"] == "model")
    for service in some(by_name.values()):
        use = {"service": service["key"]}
        if service["cost_of_model"]:
            use = {"service": model, "action": service["key"]}
        response = api.post("estimates", use | {"text": "A fox in the snow"}).json()
        assert response["approximate"], response
        assert Decimal(response["maximum"]) >= Decimal(response["credits"])


@pytest.mark.parametrize(
    ("use", "status", "code"),
    [
        ({"service": "nope", "usage": {"tokens": 1}}, 404, "unknown_service"),
        ({"service": "gpt-4o", "usage": {"images": 1}}, 400, None),
        ({"service": "gpt-4o", "usage": {}}, 400, None),
        ({"service": "gpt-4o", "usage": {"tokens": -1}}, 400, None),
        ({"service": "gpt-4o", "usage": {"tokens": 1.5}}, 400, None),
        ({"service": "gpt-4o", "usage": {"tokens": 1}, "options": {"quality": "high"}}, 400, None),
    ],
)
def test_a_use_without_a_price_is_refused_and_never_free(product, use, status, code):
    answer = product("refly").post("estimates", use)
    assert answer.status_code == status
    assert code is None or answer.json()["code"] == code
