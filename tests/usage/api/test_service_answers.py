"""Whole answers of /services: the facts and prices of the catalogue, filters and pages."""

from collections.abc import Callable
from typing import Any

import pytest

from accounts.models import User

pytestmark = pytest.mark.usefixtures("workshop")
RATE = {"version": "2026-01-01", "effective_at": "2026-01-01T00:00:00Z"}


@pytest.fixture
def api(alice: User, api_of: Callable[..., Any]) -> Any:
    return api_of(alice)


def test_a_service_has_every_fact_and_figure_of_the_catalogue(api: Any) -> None:
    listed = {service["key"]: service for service in api.get("services").json()["data"]}
    assert list(listed) == ["writer", "painter", "film", "gift", "sketch", "frame", "upload"]
    bands = [
        {"up_to": 10, "credits": "2"},
        {"up_to": 20, "credits": "1"},
        {"up_to": None, "credits": "0.5"},
    ]
    assert listed["painter"] == {
        "key": "painter",
        "name": "Painter",
        "kind": "model",
        "modality": "image",
        "tags": ["art"],
        "tier": "premium",
        "speed": None,
        "usage_class": None,
        "best_for": None,
        "providers": ["acme", "globex"],
        "quota": None,
        "priced": True,
        "cost_of_model": False,
        "lines": [
            {
                "meter": "images",
                "credits": "2",
                "per": 1,
                "whole_blocks": False,
                "also": [],
                "bands": bands,
            }
        ],
        "minimum": "3",
        "multiplier": "1.25",
        "options": {
            "quality": {"default": "low", "multipliers": {"low": "1", "high": "1.5"}},
            "speed": {"default": "fast", "multipliers": {"slow": "1", "fast": "2"}},
            "ratio": {"default": "", "multipliers": None},
        },
        "rate": RATE,
    }
    writer, film, sketch = listed["writer"], listed["film"], listed["sketch"]
    names = ("tags", "tier", "speed", "usage_class", "best_for", "minimum", "multiplier")
    assert [writer[name] for name in names] == [
        ["core", "fast"],
        "basic",
        "Quick",
        "Low",
        "Letters",
        "0",
        "1",
    ]
    assert (film["lines"][0]["whole_blocks"], film["lines"][0]["per"]) == (True, 5)
    names = ("kind", "quota", "cost_of_model", "lines", "multiplier", "priced")
    assert [sketch[name] for name in names] == ["action", "drafts", True, [], "2", True]
    for key, service in listed.items():
        assert api.get(f"services/{key}").json() == service


FILTERS: list[tuple[dict[str, str], list[str]]] = [
    ({"modality": "text"}, ["writer", "gift", "sketch"]),
    ({"kind": "action"}, ["sketch", "frame", "upload"]),
    ({"kind": "model", "modality": "text"}, ["writer", "gift"]),
    ({"tier": "premium"}, ["painter"]),
    ({"tag": "fast"}, ["writer"]),
    ({"tag": "drawn", "kind": "model"}, []),
    ({"modality": "image", "tier": "basic"}, []),
    ({"limit": "2"}, ["writer", "painter"]),
    ({"limit": "2", "cursor": "painter"}, ["film", "gift"]),
    ({"limit": "2", "cursor": "frame"}, ["upload"]),
    ({"limit": "1", "kind": "action", "cursor": "sketch"}, ["frame"]),
]


def test_services_are_narrowed_by_each_filter_and_by_several(api: Any) -> None:
    for query, keys in FILTERS:
        assert [service["key"] for service in api.get("services", **query).json()["data"]] == keys, query


def test_the_last_page_of_services_is_marked(api: Any) -> None:
    first = api.get("services", limit="5").json()
    assert (first["has_more"], first["next_cursor"]) == (True, "sketch")
    for limit, cursor in (("2", "sketch"), ("3", "sketch"), ("1", "frame")):
        page = api.get("services", limit=limit, cursor=cursor).json()
        assert (page["has_more"], page["next_cursor"]) == (False, None), (limit, cursor)
    exact = api.get("services", limit="7").json()
    assert (exact["has_more"], exact["next_cursor"]) == (False, None)
    refused = api.get("services", cursor="sketch", kind="model").json()
    assert [(error["field"], error["code"]) for error in refused["errors"]] == [("cursor", "invalid_cursor")]
