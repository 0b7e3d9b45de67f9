"""A running portal to talk to, and the real SDK to talk with."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import stripe

from sandbox import deliveries


@pytest.fixture
def portal(live_server: Any, settings: Any) -> Iterator[str]:
    """The portal over HTTP; the sandbox delivers its events there."""
    settings.SITE_URL = live_server.url
    settings.STRIPE_API_BASE = f"{live_server.url}/sandbox/stripe"
    yield live_server.url
    deliveries.wait_until_idle()


@pytest.fixture
def client_of_stripe(portal: str) -> stripe.StripeClient:
    return stripe.StripeClient(
        "sk_test_sandbox", base_addresses={"api": f"{portal}/sandbox/stripe"}, max_network_retries=0
    )
