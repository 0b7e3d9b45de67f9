"""One credit balance pays for every kind of service."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import User


@pytest.mark.requirement("REFLY-01")
def test_text_image_video_sound_and_actions_are_charged_from_the_same_balance(
    catalogue: None, alice: User, api_of: Callable[..., Any]
) -> None:
    api = api_of(alice)
    listed = {service["key"]: service for service in api.get("services", limit=100).json()["data"]}
    uses = {
        "claude-sonnet-4": {"tokens": 2500},
        "flux-schnell": {"images": 2},
        "seedance-1-lite": {"seconds": 1},
        "ace-step": {"uses": 1},
        "agent-run": {"uses": 1},
    }
    assert len({listed[key]["modality"] for key in uses}) == len(uses)

    before, spent = Decimal(api.get("balance").json()["available"]), Decimal(0)
    for key, usage in uses.items():
        charge = api.post("charges", {"service": key, "usage": usage}, key=f"use-{key}").json()
        spent += Decimal(charge["credits"])
        assert Decimal(charge["balance_after"]) == before - spent
    assert spent == Decimal("5.5") + 2 + Decimal("9.8") + 1 + 5
    assert Decimal(api.get("balance").json()["available"]) == before - spent
