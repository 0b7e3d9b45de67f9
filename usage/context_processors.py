"""The frame of every page: brand, navigation, the credit counter, who is acting (context processor `portal`).

Invariant: everything is computed when a template asks for it and once a request, so that a page which shows
no counter reads no balance.
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

from accounts import access, selectors
from accounts.models import Account, Membership
from billing import ledger
from billing import selectors as billing_selectors
from core import colour
from pricing.catalogue import cache as catalogue_cache
from pricing.catalogue.policies import Wording
from pricing.models import Plan
from usage import memorial_wall
from usage.dashboard import balance_summary

DEFAULT_ACCENT = "#1f5fd6"

# Name of the address, label, and other beginnings of addresses that belong to it.
PAGES: tuple[tuple[str, Any, tuple[str, ...]], ...] = (
    ("dashboard", _("Dashboard"), ()),
    ("usage", _("Usage"), ("/charges/",)),
    ("history", _("History"), ()),
    ("projects", _("Projects"), ()),
    ("services", _("Models & prices"), ()),
    ("plans", _("Plans"), ()),
    ("billing", _("Billing"), ()),
    ("api_keys", _("API keys"), ()),
    ("settings", _("Settings"), ("/accounts/", "/provider-keys/", "/team/")),
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
    url: str
    label: str
    current: bool = False
    icon: str = ""


class Brand:
    """The catalogue's name, words and colours. Without a catalogue the house's own."""

    def __init__(self, opened: catalogue_cache.Book) -> None:
        told = opened.brand
        self.name: str = told.name if told else "Refill"
        self.tagline: str = told.tagline if told else ""
        self.mark: str = told.mark if told else ""
        self.accent: str = told.accent if told else DEFAULT_ACCENT
        self.wording: Wording | None = opened.wording

    @cached_property
    def css(self) -> str:
        """The custom properties that tokens.css reads; contrast reaches AA in both looks."""
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
        """Changes with the colours, so that /brand.css may be kept by browsers."""
        return hashlib.sha256(self.css.encode()).hexdigest()[:12]


class Portal:
    """What the frame shows of the signed-in person's account."""

    def __init__(self, request: HttpRequest) -> None:
        self.request = request
        self.now: datetime = timezone.now()

    @cached_property
    def membership(self) -> Membership | None:
        if not self.request.user.is_authenticated:
            return None
        known = getattr(self.request, "membership", None)
        return known or access.chosen_membership(self.request)

    @cached_property
    def others(self) -> Sequence[Membership]:
        """The person's other accounts, to change to."""
        if not self.membership:
            return []
        mine = selectors.memberships_of(self.membership.user_id)
        return [one for one in mine if one.account_id != self.membership.account_id]

    @cached_property
    def account(self) -> Account | None:
        return self.membership.account if self.membership else None

    @cached_property
    def zone(self) -> str:
        return self.account.zone if self.account else "UTC"

    @cached_property
    def balance(self) -> ledger.Balance | None:
        return ledger.balance(self.account.pk, self.now) if self.account else None

    @cached_property
    def version(self) -> str:
        """What the page shows of the account's movements and uses, as `standing.version_of` names it."""
        return balance_summary.version_after(self.balance) if self.balance else ""

    @cached_property
    def early_bird(self) -> str:
        """The mark that members of the account's plan carry; empty for plans without one."""
        return billing_selectors.plan_terms(self.account.pk).badge if self.account else ""

    @cached_property
    def nav(self) -> list[NavItem]:
        if not self.account:
            return []
        here = self.request.path
        return [
            NavItem(
                url=url,
                label=self.projects_label if name == "projects" else str(label),
                current=_inside(here, url, *more),
            )
            for name, label, more in PAGES
            if (url := self.plans_url if name == "plans" else reverse(name))
        ]

    @cached_property
    def menu(self) -> list[NavItem]:
        return [
            NavItem(url=url, label=str(label), icon=icon)
            for name, label, icon in MENU
            if (url := reverse(name))
        ]

    @cached_property
    def project_word(self) -> str:
        """What the product calls a project: server, workspace …"""
        wording = catalogue_cache.current().wording
        return wording.project if wording else str(_("project"))

    @cached_property
    def projects_word(self) -> str:
        wording = catalogue_cache.current().wording
        return wording.projects if wording else str(_("projects"))

    @property
    def projects_label(self) -> str:
        return capfirst(self.projects_word)

    @property
    def takes_provider_keys(self) -> bool:
        """Whether calls may be paid with the account's own keys at model providers."""
        return bool(catalogue_cache.current().policies.providers)

    @property
    def has_wall(self) -> bool:
        """Whether the product has a memorial wall."""
        return memorial_wall.exists()

    @cached_property
    def plans_url(self) -> str:
        """Where plans are compared; empty where there is nothing to choose."""
        choice = Plan.objects.filter(legacy=False, retired_at=None)[:2]
        return reverse("plans") if len(choice) > 1 else ""

    @cached_property
    def buy_url(self) -> str:
        """Where credits are bought; empty for a member who may not."""
        return reverse("buy") if self.membership and self.membership.may_buy else ""


def _inside(here: str, url: str, *more: str) -> bool:
    """Whether the page belongs to the one at `url`: it lies below it or below another of the beginnings."""
    return here == url or any(one != "/" and here.startswith(one) for one in (url, *more))


def current_brand() -> Brand:
    return Brand(catalogue_cache.current())


def portal(request: HttpRequest) -> dict[str, Any]:
    """Context processor: `brand` and `portal`."""
    return {
        "brand": SimpleLazyObject(current_brand),
        "portal": SimpleLazyObject(lambda: Portal(request)),
    }
