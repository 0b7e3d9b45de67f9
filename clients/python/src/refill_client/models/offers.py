"""What can be charged and bought: services, plans, packs and their prices."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from refill_client.models.spending import Rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A price band: credits up to this quantity."""

    up_to: int | None
    credits: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceLine:
    meter: str
    credits: Decimal
    per: int
    whole_blocks: bool
    also: list[str]
    """Meters that may be sent instead."""
    bands: list[Band]


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service and its price."""

    key: str
    name: str
    kind: str
    modality: str
    tags: list[str]
    tier: str | None
    speed: str | None
    usage_class: str | None
    best_for: str | None
    providers: list[str]
    quota: str | None
    priced: bool
    cost_of_model: bool
    lines: list[PriceLine]
    minimum: Decimal
    multiplier: Decimal
    options: Any
    rate: Rate | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sale:
    label: str
    ends_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PackPrice:
    currency: str
    amount: int
    """Minor units, with the sale."""
    list_amount: int
    """Minor units, without the sale."""
    each: str
    """Price of one credit in major units."""
    saving_percent: int
    """Saving per credit compared with the smallest pack."""
    sale: Sale | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    key: str
    name: str
    summary: str
    credits: Decimal
    lasts: str
    popular: bool
    paid_plans_only: bool
    eligible: bool
    """Whether this account can buy the pack."""
    prices: list[PackPrice]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanPrice:
    interval: str
    currency: str
    amount: int
    """Minor units of the currency."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """Credits that a plan grants each period."""

    label: str
    kind: str
    credits: Decimal
    period: str
    services: list[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    key: str
    label: str
    maximum: int
    period: str
    used: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    key: str
    name: str
    summary: str
    features: list[str]
    rank: int
    free: bool
    legacy: bool
    carry_over: bool
    current: bool
    eligible: bool
    """Whether this account can subscribe to the plan."""
    prices: list[PlanPrice]
    allowances: list[Allowance]
    quotas: list[Quota]
    unlimited_services: list[str]
