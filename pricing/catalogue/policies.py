"""The schema of a catalogue's policies and texts, which payments, accounts and pages read.

Invariant: code uses every field; a policy that a product does not have is off by default, so that a catalogue
lists only what it has.
"""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from core.amounts import LARGEST

Key = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,59}$")]
ServiceKey = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")]
"""Longer than others, because imported services are named after their models."""
Text = Annotated[str, StringConstraints(min_length=1, max_length=2000, strip_whitespace=True)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
Url = Annotated[str, StringConstraints(pattern=r"^https://[^\s\"'<>]{1,1990}$")]
Scope = Annotated[str, StringConstraints(pattern=r"^(tag:)?[a-z0-9][a-z0-9._-]{0,99}$")]
Credits = Annotated[Decimal, Field(ge=0, le=LARGEST, max_digits=20, decimal_places=6)]
GivenCredits = Annotated[Decimal, Field(gt=0, le=LARGEST, max_digits=20, decimal_places=6)]
_INTERVAL = "[1-9][0-9]{0,3} (day|days|month|months|year|years)"
Lasting = Annotated[str, StringConstraints(pattern=rf"^(forever|{_INTERVAL})$")]
LastingOfAllowance = Annotated[str, StringConstraints(pattern=rf"^(period|forever|{_INTERVAL})$")]
"""`period`: until the allowance is given again."""
Kind = Literal["daily", "plan", "bonus", "promotion", "referral", "adjustment", "top_up"]

Currency = Annotated[str, StringConstraints(pattern=r"^[a-z]{3}$")]
PaymentMethods = Annotated[
    list[Literal["card", "alipay", "wechat_pay", "customer_balance", "sepa_debit"]], Field(min_length=1)
]


class Strict(BaseModel):
    """Unknown fields are errors.

    `defer_build`: validators are made when the first catalogue is read, under a lock of pydantic
    (https://github.com/pydantic/pydantic/pull/13438); most processes read none while they start.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)


class Assumable(Strict):
    """An entry whose figure may be assumed because the product's pages give none."""

    assumed: bool = False
    reason: str = ""

    @model_validator(mode="after")
    def _reasoned(self) -> "Assumable":
        if self.assumed != bool(self.reason):
            raise ValueError("`assumed = true` and a `reason` belong together")
        return self


class Brand(Strict):
    """Name and colours of the product."""

    name: Text
    tagline: str = ""
    accent: Annotated[str, StringConstraints(pattern=r"^#[0-9a-fA-F]{6}$")]
    mark: Annotated[str, StringConstraints(max_length=2)] = ""


class Question(Strict):
    question: Text
    answer: Text


class Section(Strict):
    title: Text
    text: Text


class Links(Strict):
    """Pages of the product outside the portal, which the footer links. Empty: no link."""

    community: Url | Literal[""] = ""
    status: Url | Literal[""] = ""
    terms: Url | Literal[""] = ""
    privacy: Url | Literal[""] = ""


class Tier(Strict):
    """The range of prices of a tier of services, in credits of one use."""

    tier: Annotated[str, StringConstraints(min_length=1, max_length=30)]
    least: Credits
    most: Credits

    @model_validator(mode="after")
    def _in_order(self) -> "Tier":
        if self.least > self.most:
            raise ValueError("`most` must not be less than `least`")
        return self


class Wording(Strict):
    """Texts of the product."""

    support_email: Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")]
    intro: Text
    project: Text = "project"
    projects: Text = "projects"
    guide: list[Section] = []
    faq: list[Question] = []
    links: Links = Field(default_factory=Links)
    tiers: list[Tier] = []
    approximate_prices: bool = False
    """The product calls its prices estimates: price pages write ~ before them."""


class Referral(Assumable):
    """Both sides of an invitation get credits, once, when the invited account qualifies."""

    inviter_credits: GivenCredits
    invited_credits: GivenCredits
    qualifies: Literal["sign_up", "first_charge", "first_purchase"] = "first_purchase"
    services: list[Scope] | None = None
    lasts: Lasting = "forever"
    most_invitations: int | None = Field(default=None, gt=0)


class Promotion(Assumable):
    """A code that gives credits once to each account, between two dates."""

    code: Annotated[str, StringConstraints(pattern=r"^[A-Z0-9][A-Z0-9-]{2,39}$")]
    label: Text
    credits: GivenCredits
    services: list[Scope] | None = None
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    most_redemptions: int | None = Field(default=None, gt=0)
    lasts: Lasting = "forever"

    @model_validator(mode="after")
    def _in_order(self) -> "Promotion":
        if self.starts_at >= self.ends_at:
            raise ValueError("`ends_at` must come after `starts_at`")
        return self


class Provider(Strict):
    """A model provider: an account's own key at it can pay for calls."""

    key: Key
    name: Text


class AutoTopUp(Assumable):
    """Automatic top-up is available; the limits are the largest that a user may choose."""

    largest_monthly_packs: int = Field(default=20, gt=0)


class Tax(Strict):
    """Stripe Tax computes the tax of payments; `inclusive` prices contain it."""

    behavior: Literal["inclusive", "exclusive"]
    code: Annotated[str, StringConstraints(pattern=r"^(txcd_[0-9]{8})?$")] = ""
    """Stripe's code of what is sold (https://docs.stripe.com/tax/tax-codes); empty: the account's own."""
    collect_tax_ids: bool = True


class Teams(Strict):
    """Users may ask for a team account of these kinds; staff approve."""

    kinds: list[Literal["family", "business"]] = ["family", "business"]


class Pause(Strict):
    """Members may pause a plan that is paid by the month."""

    most_months: int = Field(gt=0, le=12)


class Policies(Strict):
    """The policies of the product. None or empty: not available."""

    refund_window_days: int | None = Field(default=None, gt=0)
    plan_dispute: Literal["cancel", "past_due"] = "cancel"
    """What becomes of a plan whose payment is disputed or refunded in full: it is cancelled at Stripe, or it
    gives no credits until the dispute is won or the next period is paid."""
    referral: Referral | None = None
    promotions: list[Promotion] = []
    free_plan_once_per_address: bool = False
    """What the free plan gives once is never given again to the same verified address."""
    payment_methods: PaymentMethods = ["card"]
    """How packs are paid, in every currency that `payment_methods_in` does not name."""
    payment_methods_in: dict[Currency, PaymentMethods] = {}
    """How packs are paid in a currency."""
    providers: list[Provider] = []
    auto_top_up: AutoTopUp | None = None
    tax: Tax | None = None
    renewal_grace_hours: int = Field(default=96, ge=2, le=21 * 24)
    """How long a plan goes on while its renewal is neither paid nor refused (docs/decisions/0063)."""
    teams: Teams | None = None
    pause: Pause | None = None
    memorial_wall: bool = False
    low_credits_below: Credits = Decimal(0)
    """The alert threshold of a new account; 0: no alert until the user sets one."""
    expected_output_tokens: int = Field(default=500, gt=0)
    """What an estimate from a text assumes the answer to be."""
    expected_seconds: int = Field(default=5, gt=0)
    """What an estimate from a text assumes a clip to last."""
    running_holds: int = Field(default=1000, gt=0, le=10_000)
    """How many holds of an account may run at once."""
    estimate_minutes: int = Field(default=15, gt=0, le=24 * 60)
    """How long an estimate's price is kept."""

    @model_validator(mode="after")
    def _tax_needs_a_page(self) -> "Policies":
        if self.tax is not None and self.auto_top_up is not None:
            raise ValueError(
                "only one of `tax` and `auto_top_up`: automatic top-up charges a saved card without a"
                " Checkout page, on which Stripe computes the tax"
            )
        return self
