"""A bank in memory behind the gateway, and a refund window in the catalogue."""

from typing import Any

import pytest

from pricing.catalogue import cache as catalogue_cache
from pricing.models import Catalogue


@pytest.fixture
def window(catalogue: None, monkeypatch: Any) -> None:
    """Purchases can be refunded for 30 days."""
    row = Catalogue.objects.get()
    row.policies["refund_window_days"] = 30
    row.save(update_fields=["policies"])
    catalogue_cache.changed()
