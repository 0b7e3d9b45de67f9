"""Texts of the catalogue in the reader's language.

Invariant: rows, rate cards and the API hold the catalogue's own texts; only what a page or an e-mail shows is
translated, so that an entry of last year reads in today's language.
"""

import re
from collections.abc import Iterator
from decimal import Decimal

from django.conf import settings
from django.utils.translation import get_language, gettext, ngettext

from core.templatetags.credits import credits as grouped
from core.templatetags.credits import plural_number
from pricing.catalogue import cache as catalogue_cache
from pricing.catalogue import schema

_PACK_LABEL = re.compile(
    r"((?P<quantity>[0-9]+) × )?(?P<name>.+) \((?P<credits>[0-9][0-9,]*(\.[0-9]+)?) credits?\)"
)
_ENDS_OF_LABELS = (" credit)", " credits)")


def translated(text: str) -> str:
    """The text in the current language: from the catalogue, else from our own messages, else as it is.

    Rows also hold texts of our own, such as "Referral reward", which are marked with gettext_noop, and labels
    of several packs (`pack_label`).
    """
    language = get_language() or settings.LANGUAGE_CODE
    if not text:
        return text
    if language != settings.LANGUAGE_CODE:
        if found := catalogue_cache.current().translations.get(language, {}).get(text):
            return found
    elif not text.endswith(_ENDS_OF_LABELS):
        return text
    label = _PACK_LABEL.fullmatch(text)
    if label is None:
        return gettext(text) if language != settings.LANGUAGE_CODE else text
    credits = Decimal(label["credits"].replace(",", ""))
    return pack_label(translated(label["name"]), credits, int(label["quantity"] or 1))


def pack_label(name: str, credits: Decimal, quantity: int) -> str:
    """The name of some packs on statements, with all their credits, in the current language.

    Their digits are grouped. Earlier releases stored labels without groups; `translated` shows both alike.
    """
    if quantity == 1:
        template = ngettext(
            "%(name)s (%(credits)s credit)", "%(name)s (%(credits)s credits)", plural_number(credits)
        )
    else:
        template = ngettext(
            "%(quantity)s × %(name)s (%(credits)s credit)",
            "%(quantity)s × %(name)s (%(credits)s credits)",
            plural_number(credits),
        )
    return template % {"name": name, "credits": grouped(credits), "quantity": quantity}


def project_word() -> str:
    """The product's word for a project, such as "server" or "canvas"."""
    wording = catalogue_cache.current().wording
    return translated(wording.project) if wording else gettext("project")


def projects_word() -> str:
    wording = catalogue_cache.current().wording
    return translated(wording.projects) if wording else gettext("projects")


def names(catalogue: schema.Catalogue) -> Iterator[str]:
    """Names, which may stay as they are in every language."""
    yield catalogue.brand.name
    named = (catalogue.policies.providers, catalogue.services, catalogue.plans, catalogue.packs)
    yield from (entry.name for entries in named for entry in entries)


def sentences(catalogue: schema.Catalogue) -> Iterator[str]:
    """All other texts that pages and e-mails show."""
    wording = catalogue.wording
    yield from (catalogue.brand.tagline, wording.intro, wording.project, wording.projects)
    for section in wording.guide:
        yield from (section.title, section.text)
    for question in wording.faq:
        yield from (question.question, question.answer)
    yield from (tier.tier for tier in wording.tiers)
    yield from (promotion.label for promotion in catalogue.policies.promotions)
    for service in catalogue.services:
        yield from (service.modality, service.tier, service.speed, service.usage_class, service.best_for)
        yield from service.tags
    for plan in catalogue.plans:
        yield from (plan.summary, plan.badge, *plan.features)
        yield from (allowance.label for allowance in plan.allowances)
        yield from (quota.label for quota in plan.quotas)
    yield from (pack.summary for pack in catalogue.packs)
    yield from (sale.label for sale in catalogue.sales)
    rates = [service.rate for service in catalogue.services]
    rates += [change.rate for service in catalogue.services for change in service.changes]
    for options in (catalogue.options, *(rate.options for rate in rates)):
        for name, option in options.items():
            yield from (name, *option.multipliers)


def missing(catalogue: schema.Catalogue, language: str) -> list[str]:
    """The texts without a translation, names left out, in the order of the file."""
    present = catalogue.translations.get(language, {})
    return [text for text in dict.fromkeys(sentences(catalogue)) if text and text not in present]
