"""Context processor `portal`: brand, navigation, credit counter and account for every page.

Invariant: each value is computed when a template first uses it and at most once per request, so that a page
without the counter reads no balance.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from accounts import access
from accounts.models import Account, Membership
from billing import ledger
from billing.subscriptions import plan_terms
from core import colour
from pricing.catalogue import cache as catalogue_cache
from pricing.catalogue import texts
from pricing.catalogue.policies import Links, Policies, Wording
from usage import live_updates, memorial_wall

DEFAULT_ACCENT = "#1f5fd6"

# URL name, label, and prefixes of further paths at which the item is marked as current.
NAVIGATION: tuple[tuple[str, Any, tuple[str, ...]], ...] = (
    ("dashboard", _("Dashboard"), ()),
    ("usage", _("Usage"), ("/charges/", "/budgets/", "/refusals/")),
    ("history", _("History"), ("/exports/",)),
    ("projects", _("Projects"), ()),
    ("services", _("Models & prices"), ()),
    ("plans", _("Plans"), ()),
    ("billing", _("Billing"), ()),
    ("api_keys", _("API keys"), ("/webhooks/",)),
    ("settings", _("Settings"), ("/accounts/", "/provider-keys/", "/members/", "/teams/")),
)
VISITORS_NAVIGATION: tuple[tuple[str, Any, tuple[str, ...]], ...] = (
    ("services", _("Models & prices"), ()),
    ("plans", _("Plans & packs"), ()),
    ("documentation", _("Documentation"), ()),
)
MENU = (
    ("settings", _("Settings"), "cog-6-tooth"),
    ("account_email", _("E-mail addresses"), "envelope"),
    ("account_change_password", _("Password"), "lock-closed"),
    ("mfa_index", _("Two-step sign-in"), "shield-check"),
    ("usersessions_list", _("Signed-in devices"), "computer-desktop"),
)


@dataclass(frozen=True)
class NavItem:
    """A link of the navigation or of the account menu."""

    url: str
    label: str
    current: bool = False
    icon: str = ""


class Brand:
    """Name, wording and colours from the catalogue, or defaults without a catalogue."""

    def __init__(self, catalogue: catalogue_cache.LoadedCatalogue) -> None:
        brand = catalogue.brand
        self.name: str = brand.name if brand else "Refill"
        self.tagline: str = brand.tagline if brand else ""
        self.mark: str = brand.mark if brand else ""
        self.accent: str = brand.accent if brand else DEFAULT_ACCENT
        self.wording: Wording | None = catalogue.wording
        self.links: Links = catalogue.wording.links if catalogue.wording else Links()

    @cached_property
    def css(self) -> str:
        """The custom properties that tokens.css reads; contrast meets WCAG AA in light and dark mode."""
        light, dark = colour.accent_for(self.accent, dark=False), colour.accent_for(self.accent, dark=True)
        return (
            f":root{{--brand-light:{light.fill};--on-brand-light:{light.text};"
            f"--brand-dark:{dark.fill};--on-brand-dark:{dark.text}}}\n"
        )

    @property
    def icon_colour(self) -> colour.Accent:
        return colour.accent_for(self.accent, dark=False)

    @cached_property
    def version(self) -> str:
        """A hash of the colours for the URL of /brand.css, so that browsers may cache it."""
        return hashlib.sha256(self.css.encode()).hexdigest()[:12]


class Portal:
    """The signed-in user's account, balance and navigation. Without a user every value is empty."""

    def __init__(self, request: HttpRequest) -> None:
        self.request = request
        self.now: datetime = timezone.now()

    @cached_property
    def membership(self) -> Membership | None:
        """The user's membership of the account that is selected in this session."""
        if not self.request.user.is_authenticated:
            return None
        membership = getattr(self.request, "membership", None)
        return membership or access.chosen_membership(self.request)

    @cached_property
    def others(self) -> Sequence[Membership]:
        """The user's other accounts, to switch to."""
        if not self.membership:
            return []
        memberships = access.memberships_of(self.request)
        return [other for other in memberships if other.account_id != self.membership.account_id]

    @cached_property
    def account(self) -> Account | None:
        return self.membership.account if self.membership else None

    @cached_property
    def zone(self) -> str:
        """The time zone in which the page shows times."""
        return self.account.zone if self.account else "UTC"

    @cached_property
    def balance(self) -> ledger.Balance | None:
        """The account's balance: the one that the view has put on the request, else as of now (settled)."""
        shown: ledger.Balance | None = getattr(self.request, "shown_balance", None)
        if self.account is None or (shown is not None and shown.account_id == self.account.pk):
            return shown
        return ledger.balance(self.account.pk, self.now)

    @cached_property
    def version(self) -> str:
        """The version that the page shows (see `usage.live_updates`)."""
        return live_updates.version_after(self.balance) if self.balance else ""

    @cached_property
    def early_bird(self) -> str:
        """The badge of the account's plan; empty for plans without one."""
        return texts.translated(plan_terms.get(self.account.pk).badge) if self.account else ""

    @cached_property
    def nav(self) -> list[NavItem]:
        """Items of the main navigation."""
        items = []
        for name, label, prefixes in NAVIGATION if self.account else VISITORS_NAVIGATION:
            if name == "plans" and not self.plans_url:
                continue
            if name == "projects":
                label = self.projects_label
            url = reverse(name)
            current = _is_current(self.request.path, url, *prefixes)
            items.append(NavItem(url=url, label=str(label), current=current))
        return items

    @cached_property
    def menu(self) -> list[NavItem]:
        """Items of the account menu."""
        is_team = self.account is not None and self.account.kind == Account.Kind.TEAM
        items = ((("members", _("Members"), "user-group"), *MENU)) if is_team else MENU
        return [NavItem(url=reverse(name), label=str(label), icon=icon) for name, label, icon in items]

    @cached_property
    def project_word(self) -> str:
        return texts.project_word()

    @cached_property
    def projects_word(self) -> str:
        return texts.projects_word()

    @property
    def projects_label(self) -> str:
        return capfirst(self.projects_word)

    @property
    def policies(self) -> Policies:
        """What the product offers."""
        return catalogue_cache.current().policies

    @property
    def has_wall(self) -> bool:
        """Whether the product has a memorial wall."""
        return memorial_wall.exists()

    @property
    def takes_provider_keys(self) -> bool:
        """Whether calls may be paid with the account's own keys at model providers."""
        return bool(self.policies.providers)

    @property
    def offers_teams(self) -> bool:
        """Whether users may ask for a team account."""
        return self.policies.teams is not None

    @cached_property
    def plans_url(self) -> str:
        """The page that compares plans; empty with fewer than two plans. It shows visitors the packs too."""
        if not self.account:
            return reverse("plans")
        return reverse("plans") if catalogue_cache.current().has_plans_to_compare else ""

    @cached_property
    def buy_url(self) -> str:
        """The page that sells credits; empty for a member who may not buy."""
        return reverse("buy") if self.membership and self.membership.may_buy else ""


def _is_current(path: str, url: str, *prefixes: str) -> bool:
    """Whether `path` is the page at `url`, or lies below it or below one of the prefixes."""
    return path == url or any(prefix != "/" and path.startswith(prefix) for prefix in (url, *prefixes))


def current_brand() -> Brand:
    """The brand of the current catalogue."""
    return Brand(catalogue_cache.current())


def portal(request: HttpRequest) -> dict[str, Any]:
    """The template variables `brand` and `portal`."""
    return {
        "brand": SimpleLazyObject(current_brand),
        "portal": SimpleLazyObject(lambda: Portal(request)),
    }
