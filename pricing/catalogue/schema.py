"""The schema of a catalogue file.

Invariant: a valid file can be loaded; unknown fields, negative figures, duplicates, contradictions and
missing currencies are errors. `pricing.catalogue.file` turns them into sentences.
"""

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, StringConstraints, model_validator

from pricing.catalogue.policies import (
    Assumable,
    Brand,
    Credits,
    Currency,
    GivenCredits,
    Key,
    Kind,
    Lasting,
    LastingOfAllowance,
    Name,
    PaymentMethods,
    Policies,
    Scope,
    ServiceKey,
    Strict,
    Text,
    Wording,
)
from pricing.rates.meters import LARGEST_QUANTITY, PARTS

Meter = Literal[
    "tokens",
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "image_tokens",
    "images",
    "seconds",
    "uses",
    "messages",
    "characters",
]
Prices = dict[Currency, Annotated[int, Field(gt=0, strict=True)]]
Factor = Annotated[Decimal, Field(gt=0, max_digits=12, decimal_places=6)]
Word = Annotated[str, StringConstraints(max_length=30)]
Summary = Annotated[str, StringConstraints(max_length=300)]
Badge = Annotated[str, StringConstraints(max_length=60)]


class Band(Strict):
    up_to: int | None = Field(default=None, gt=0, le=int(LARGEST_QUANTITY))
    credits: Credits


class RateLine(Strict):
    """`credits` for each `per` of a `meter`; or `bands`, where the figure depends on the quantity."""

    meter: Meter
    credits: Credits | None = None
    bands: list[Band] = []
    per: int = Field(default=1, gt=0, le=int(LARGEST_QUANTITY))
    whole_blocks: bool = False
    also: list[Meter] = []

    @model_validator(mode="after")
    def _consistent(self) -> "RateLine":
        if (self.credits is None) == (not self.bands):
            raise ValueError("give either `credits` or `bands`")
        ends = [band.up_to for band in self.bands if band.up_to is not None]
        if self.bands and (
            self.bands[-1].up_to is not None or len(ends) != len(self.bands) - 1 or ends != sorted(set(ends))
        ):
            raise ValueError("`bands` must rise by `up_to`, and only the last one has none")
        if self.whole_blocks and any(end % self.per for end in ends):
            raise ValueError("with `whole_blocks` every `up_to` is a multiple of `per`")
        return self

    @property
    def steps(self) -> list[tuple[int | None, Decimal]]:
        """The bands, or one unlimited band of `credits`."""
        if self.credits is not None:
            return [(None, self.credits)]
        return [(band.up_to, band.credits) for band in self.bands]

    @property
    def accepts(self) -> tuple[str, ...]:
        """Meters that a client may send instead of this one."""
        return (*PARTS.get(self.meter, ()), *self.also)


class Option(Strict):
    """`multipliers` by value with a `default`, or `effect = false`: any value, same price."""

    effect: bool = True
    multipliers: dict[Key, Factor] = {}
    default: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> "Option":
        if not self.effect and (self.multipliers or self.default):
            raise ValueError("an option without effect has no `multipliers` and no `default`")
        if self.effect and self.default not in self.multipliers:
            raise ValueError("`default` must be one of the `multipliers`")
        return self


class Rate(Assumable):
    """`lines` of its own, or `base` (a named price of the file) with a `multiplier`, or `cost_of_model`.

    With `unpriced` the service cannot be charged. `options`: options of this rate, beside those of the file
    that the service names. `cost`: what one of a meter costs at the provider, in credits.
    """

    lines: list[RateLine] = []
    base: Key | None = None
    multiplier: Factor = Decimal(1)
    minimum: Credits = Decimal(0)
    cost_of_model: bool = False
    unpriced: bool = False
    options: dict[Key, Option] = {}
    cost: dict[Meter, Annotated[Decimal, Field(ge=0)]] = {}

    @model_validator(mode="after")
    def _one_source(self) -> "Rate":
        if sum((bool(self.lines), self.base is not None, self.cost_of_model, self.unpriced)) != 1:
            raise ValueError("give exactly one of `lines`, `base`, `cost_of_model` and `unpriced`")
        named = Counter(name for line in self.lines for name in (line.meter, *line.accepts))
        doubled = [name for name, count in named.items() if count > 1]
        if doubled:
            raise ValueError(f"the meter {doubled[0]} is counted by two lines")
        return self


class Change(Strict):
    """A different rate from a later date."""

    effective_at: AwareDatetime
    rate: Rate


class Service(Strict):
    key: ServiceKey
    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    kind: Literal["model", "action"] = "model"
    modality: Annotated[Word, StringConstraints(min_length=1)]
    tags: list[Key] = []
    tier: Word = ""
    speed: Word = ""
    usage_class: Word = ""
    best_for: Annotated[str, StringConstraints(max_length=200)] = ""
    providers: list[Key] = []
    quota: Key | None = None
    at_expiry: Literal["release", "capture_estimate", "capture_reported"] | None = None
    options: list[Key] = []
    rate: Rate
    changes: list[Change] = []


class Allowance(Assumable):
    """Credits a plan gives each day, each month, or once."""

    key: Key
    kind: Kind
    label: Name
    credits: GivenCredits
    period: Literal["day", "month", "once"]
    lasts: LastingOfAllowance = "period"
    services: list[Scope] | None = None
    priority: int | None = Field(default=None, ge=0, le=1000)

    @model_validator(mode="after")
    def _once_ends(self) -> "Allowance":
        if self.period == "once" and self.lasts == "period":
            raise ValueError("an allowance given once has no next period: say how long it `lasts`")
        return self


class Quota(Assumable):
    """A counted allowance, such as files."""

    key: Key
    label: Name
    maximum: int = Field(gt=0, le=1_000_000_000)
    period: Literal["day", "month", "ever"]


class Plan(Assumable):
    key: Key
    name: Name
    summary: Summary = ""
    features: list[Name] = []
    badge: Badge = ""
    rank: int = Field(ge=0, le=1_000_000)
    prices: dict[Literal["month", "year"], Prices] = {}
    allowances: list[Allowance] = []
    quotas: list[Quota] = []
    unlimited_services: list[ServiceKey] = []
    free: bool = False
    legacy: bool = False
    carry_over: bool = False
    payment_methods: dict[Currency, PaymentMethods] = {}

    @model_validator(mode="after")
    def _consistent(self) -> "Plan":
        if self.free and (self.legacy or self.prices):
            raise ValueError("the free plan has no `prices` and is not `legacy`")
        refuse_doubles((allowance.key for allowance in self.allowances), "allowance")
        refuse_doubles((quota.key for quota in self.quotas), "quota")
        return self


class Pack(Assumable):
    key: Key
    name: Name
    summary: Summary = ""
    credits: GivenCredits
    prices: Prices
    lasts: Lasting = "forever"
    popular: bool = False
    paid_plans_only: bool = False
    payment_methods: dict[Currency, PaymentMethods] = {}


class Sale(Assumable):
    key: Key
    pack: Key
    label: Name
    prices: Prices
    starts_at: AwareDatetime
    ends_at: AwareDatetime

    @model_validator(mode="after")
    def _in_order(self) -> "Sale":
        if self.starts_at >= self.ends_at:
            raise ValueError("`ends_at` must come after `starts_at`")
        return self


class Catalogue(Strict):
    """A whole file. References between its parts are checked in pricing.catalogue.references."""

    key: Key
    currencies: Annotated[list[Currency], Field(min_length=1)]
    effective_at: AwareDatetime
    brand: Brand
    wording: Wording
    policies: Policies = Field(default_factory=Policies)
    bases: dict[Key, list[RateLine]] = {}
    options: dict[Key, Option] = {}
    services: Annotated[list[Service], Field(min_length=1)]
    plans: list[Plan] = []
    packs: list[Pack] = []
    sales: list[Sale] = []
    translations: dict[str, dict[Text, Text]] = {}
    """By language: other texts of the file, as pages show them in that language."""


def refuse_doubles(keys: Iterable[str], what: str) -> None:
    """Raise ValueError for a duplicate key."""
    for key, count in Counter(keys).items():
        if count > 1:
            raise ValueError(f"the {what} key {key!r} is used {count} times; each may be used once")


def expected(detail: Any) -> str:
    """What an error of pydantic expects: the words after "expected"."""
    if detail["type"] == "extra_forbidden":
        return "no such field; is it misspelt?"
    if detail["type"] == "missing":
        return "this field, which is missing"
    return str(detail["msg"]).removeprefix("Value error, ").replace("Input should be", "it to be")
