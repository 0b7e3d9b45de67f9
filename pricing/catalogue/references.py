"""References within a catalogue: keys must exist, be unique, and prices must have every currency.

Invariant: a catalogue without findings has no reference to a missing key; each finding has its path.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from django.conf import settings

from core import currencies
from core.templatetags.money import money
from pricing.catalogue import payment_methods, rate_rows, schema, texts


@dataclass(frozen=True, slots=True)
class Finding:
    """One error in a file: the path of the entry, the field's value, what was expected."""

    path: tuple[str | int, ...]
    value: object
    expected: str


def findings(catalogue: schema.Catalogue) -> list[Finding]:
    """All errors between the parts of a catalogue whose parts are valid by themselves."""
    return [
        *_doubles(catalogue),
        *_tiers(catalogue),
        *_services(catalogue),
        *_plans(catalogue),
        *_prices(catalogue),
        *_sales(catalogue),
        *_policies(catalogue),
        *_payment_methods(catalogue),
        *_translations(catalogue),
    ]


def _doubles(catalogue: schema.Catalogue) -> Iterator[Finding]:
    for part in ("services", "plans", "packs", "sales"):
        entries = getattr(catalogue, part)
        seen: Counter[str] = Counter()
        for number, entry in enumerate(entries):
            seen[entry.key] += 1
            if seen[entry.key] == 2:
                yield Finding((part, number, "key"), entry.key, "a key that no other entry of this kind has")
    codes = [promotion.code for promotion in catalogue.policies.promotions]
    for number, code in enumerate(codes):
        if code in codes[:number]:
            yield Finding(("policies", "promotions", number, "code"), code, "a code that is used once")


def _translations(catalogue: schema.Catalogue) -> Iterator[Finding]:
    languages = [code for code, _name in settings.LANGUAGES if code != settings.LANGUAGE_CODE]
    known = {*texts.names(catalogue), *texts.sentences(catalogue)}
    for language, translations in catalogue.translations.items():
        if language not in languages:
            expected = f"a language of the portal other than English ({', '.join(languages)})"
            yield Finding(("translations", language), language, expected)
        for text in translations:
            if text not in known:
                expected = "a text of this file before the =, spelled as there"
                yield Finding(("translations", language, text), text, expected)


def _tiers(catalogue: schema.Catalogue) -> Iterator[Finding]:
    used = {service.tier for service in catalogue.services if service.tier}
    ranges = catalogue.wording.tiers
    for number, entry in enumerate(ranges):
        if entry.tier not in used:
            yield Finding(("wording", "tiers", number, "tier"), entry.tier, _one_of("tier", used))
        elif entry.tier in [earlier.tier for earlier in ranges[:number]]:
            yield Finding(("wording", "tiers", number, "tier"), entry.tier, "a tier that is named once")


def _services(catalogue: schema.Catalogue) -> Iterator[Finding]:
    providers = {provider.key for provider in catalogue.policies.providers}
    quotas = {quota.key for plan in catalogue.plans for quota in plan.quotas}
    for number, service in enumerate(catalogue.services):
        at = ("services", number)
        for position, option in enumerate(service.options):
            if option not in catalogue.options:
                yield Finding((*at, "options", position), option, _one_of("option", catalogue.options))
        for position, provider in enumerate(service.providers):
            if provider not in providers:
                yield Finding((*at, "providers", position), provider, _one_of("provider", providers))
        if service.quota is not None and service.quota not in quotas:
            yield Finding((*at, "quota"), service.quota, _one_of("plan's quota", quotas))
        earlier = catalogue.effective_at
        yield from _rate(catalogue, service, service.rate, (*at, "rate"))
        for position, change in enumerate(service.changes):
            yield from _rate(catalogue, service, change.rate, (*at, "changes", position, "rate"))
            if change.effective_at <= earlier:
                expected = "a date after the catalogue's own and after the change before it"
                yield Finding((*at, "changes", position, "effective_at"), str(change.effective_at), expected)
            earlier = change.effective_at


def _rate(
    catalogue: schema.Catalogue, service: schema.Service, rate: schema.Rate, at: tuple[str | int, ...]
) -> Iterator[Finding]:
    if rate.base is not None and rate.base not in catalogue.bases:
        yield Finding((*at, "base"), rate.base, _one_of("base", catalogue.bases))
    if not rate.cost_of_model:
        return
    modalities = {other.modality for other in catalogue.services if other.kind == "model"}
    expected = rate_rows.cost_of_model_objection(service.kind, service.modality, modalities)
    if expected:
        yield Finding((*at, "cost_of_model"), True, expected)


def _plans(catalogue: schema.Catalogue) -> Iterator[Finding]:
    services = {service.key for service in catalogue.services}
    tags = {f"tag:{tag}" for service in catalogue.services for tag in service.tags}
    free = [plan.key for plan in catalogue.plans if plan.free]
    if len(free) != 1:
        yield Finding(("plans",), free, "exactly one plan with `free = true`: new accounts start on it")
    for number, plan in enumerate(catalogue.plans):
        for position, key in enumerate(plan.unlimited_services):
            if key not in services:
                yield Finding(("plans", number, "unlimited_services", position), key, "the key of a service")
        for position, allowance in enumerate(plan.allowances):
            for scope in allowance.services or []:
                if scope not in services | tags:
                    path = ("plans", number, "allowances", position, "services")
                    yield Finding(path, scope, "the key of a service, or tag: and a tag that one carries")


def _prices(catalogue: schema.Catalogue) -> Iterator[Finding]:
    declared = set(catalogue.currencies)
    for position, currency in enumerate(catalogue.currencies):
        if currency not in currencies.SUPPORTED:
            expected = "a currency in which Stripe charges (https://docs.stripe.com/currencies)"
            yield Finding(("currencies", position), currency, expected)
    priced: list[tuple[tuple[str | int, ...], dict[str, int]]] = [
        (("plans", number, "prices", interval), prices)
        for number, plan in enumerate(catalogue.plans)
        for interval, prices in plan.prices.items()
    ]
    for part in ("packs", "sales"):
        priced += [
            ((part, number, "prices"), entry.prices) for number, entry in enumerate(getattr(catalogue, part))
        ]
    for path, prices in priced:
        for currency in sorted(declared - set(prices)):
            yield Finding(path, prices, f"a price in {currency} too: it is a currency of this catalogue")
        for currency in sorted(set(prices) - declared):
            yield Finding((*path, currency), prices[currency], _one_of("currency", catalogue.currencies))
        for currency in sorted(set(prices) & declared & currencies.SUPPORTED):
            if expected := _chargeable(prices[currency], currency):
                yield Finding((*path, currency), prices[currency], expected)


def _chargeable(price: int, currency: str) -> str:
    """What a price has to be so that Stripe can charge it; empty when it can be charged."""
    least, most, step = currencies.minimum(currency), currencies.maximum(currency), currencies.step(currency)
    if price < least:
        return f"at least {least} ({money(least, currency)}), the smallest payment that Stripe accepts"
    if price > most:
        return f"at most {most} ({money(most, currency)}), the largest payment that Stripe accepts"
    if price % step:
        return f"a multiple of {step}, because Stripe accepts no smaller fraction of {currency.upper()}"
    return ""


def _sales(catalogue: schema.Catalogue) -> Iterator[Finding]:
    packs = {pack.key: pack for pack in catalogue.packs}
    for number, sale in enumerate(catalogue.sales):
        pack = packs.get(sale.pack)
        if pack is None:
            yield Finding(("sales", number, "pack"), sale.pack, _one_of("pack", packs))
            continue
        for currency, price in sale.prices.items():
            if price >= pack.prices.get(currency, price + 1):
                expected = f"less than the pack's own price, {pack.prices[currency]}"
                yield Finding(("sales", number, "prices", currency), price, expected)


def _policies(catalogue: schema.Catalogue) -> Iterator[Finding]:
    keys = {service.key for service in catalogue.services}
    keys |= {f"tag:{tag}" for service in catalogue.services for tag in service.tags}
    scopes: list[tuple[tuple[str | int, ...], list[str] | None]] = [
        (("policies", "promotions", number, "services"), promotion.services)
        for number, promotion in enumerate(catalogue.policies.promotions)
    ]
    if catalogue.policies.referral is not None:
        scopes.append((("policies", "referral", "services"), catalogue.policies.referral.services))
    for path, services in scopes:
        for scope in services or []:
            if scope not in keys:
                yield Finding(path, scope, "the key of a service, or tag: and a tag that one carries")


def _payment_methods(catalogue: schema.Catalogue) -> Iterator[Finding]:
    """Methods that Stripe does not have in a currency, or not for subscriptions."""
    policies, at = catalogue.policies, ("policies", "payment_methods_in")
    for position, method in enumerate(policies.payment_methods):
        for currency in catalogue.currencies if catalogue.packs else []:
            expected = payment_methods.objection(method, currency, subscription=False)
            if expected and currency not in policies.payment_methods_in:
                hint = f"{expected} (list the methods of {currency} in payment_methods_in)"
                yield Finding(("policies", "payment_methods", position), method, hint)
    yield from _methods_by_currency(catalogue, at, policies.payment_methods_in, subscription=False)
    for number, plan in enumerate(catalogue.plans):
        path = ("plans", number, "payment_methods")
        yield from _methods_by_currency(catalogue, path, plan.payment_methods, subscription=True)
    for number, pack in enumerate(catalogue.packs):
        path = ("packs", number, "payment_methods")
        yield from _methods_by_currency(catalogue, path, pack.payment_methods, subscription=False)


def _methods_by_currency(
    catalogue: schema.Catalogue,
    path: tuple[str | int, ...],
    methods_by_currency: Mapping[str, Sequence[str]],
    *,
    subscription: bool,
) -> Iterator[Finding]:
    for currency, methods in methods_by_currency.items():
        if currency not in catalogue.currencies:
            yield Finding((*path, currency), list(methods), _one_of("currency", catalogue.currencies))
        for position, method in enumerate(methods):
            if expected := payment_methods.objection(method, currency, subscription=subscription):
                yield Finding((*path, currency, position), method, expected)


def _one_of(what: str, keys: object) -> str:
    names = ", ".join(sorted(keys)) if keys else "none is declared"  # type: ignore[call-overload]
    article = "an" if what[0] in "aeiou" else "a"
    return f"{article} {what} of this file ({names})"
