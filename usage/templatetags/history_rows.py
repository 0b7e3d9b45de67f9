"""Rows of the history, built in Python: a statement has 2,000, and a template takes 0.3 ms for each."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from html import escape

from django import template
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import Truncator, capfirst
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from billing.models import Entry
from core.templatetags import times
from core.templatetags.credits import credits, credits_brief, credits_signed, padding, rounded
from usage.history.lines import HistoryLine

register = template.Library()
_LONGEST_REASON = 80
_COVERED = {"own_key": gettext_lazy("own key"), "unlimited": gettext_lazy("unlimited")}
_ANY = "-"  # stands for a charge's id
_ROW = """<tr id="entry-{seq}"{new}>
  <td class="quiet">{time}</td>
  <td class="grow">{title}{aside}{note}</td>
  <td class="quiet wide-only">{kind}</td>
  <td class="quiet wide-only">{actor}</td>
  <td class="number{good}" data-pad="{pad}"{exact}>{credits}</td>
  <td class="number quiet wide-only" data-pad="{balance_pad}"{exact_balance}>{balance}</td>
</tr>
"""


@register.simple_tag
def history_rows(
    lines: Sequence[HistoryLine],
    *,
    exact_times: bool = False,
    exact_figures: bool = False,
    is_new: bool = False,
) -> SafeString:
    """A table row for each line. Figures have two decimals and the exact amount as title, or are exact.

    `exact_times`: date and time, not how long ago; `is_new`: marked as new.
    """
    now = timezone.now()
    places = _places(lines) if exact_figures else 2
    time = times.at if exact_times else times.ago
    labels = kind_labels(get_language() or "")
    url = reverse("charge", args=[_ANY])
    rows = []
    for line in lines:
        kind, charge_id = labels.get(line.kind, ""), line.charge_public_id
        exact, exact_balance = credits_signed(line.credits), credits(line.balance_after)
        figure, balance = exact, exact_balance
        if not exact_figures:
            figure, balance = credits_signed(rounded(line.credits)), credits_brief(line.balance_after)
        title = escape(line.title if charge_id else capfirst(line.title))
        if charge_id:
            title = f'<a href="{url.replace(_ANY, charge_id)}">{title}</a>'
        aside = _aside(line)
        rows.append(
            _ROW.format(
                seq=line.seq,
                new=' class="is-new"' if is_new else "",
                time=time(line.created_at, now),
                title=title,
                aside=f' <span class="cell-aside">{escape(aside)}</span>' if aside else "",
                note="" if charge_id else f'<span class="cell-note narrow-only">{kind}</span>',
                kind=kind,
                actor=escape(line.actor),
                good=" good" if line.credits > 0 else "",
                credits=figure,
                pad=padding(figure, places),
                exact=f' title="{exact}"' if figure != exact else "",
                balance=escape(balance),
                balance_pad=padding(balance, places),
                exact_balance=f' title="{exact_balance}"' if balance != exact_balance else "",
            )
        )
    return mark_safe("".join(rows))  # noqa: S308  # texts are escaped above


@register.simple_tag
def history_row(line: HistoryLine, *, is_new: bool = False) -> SafeString:
    """The row of one line."""
    return history_rows([line], is_new=is_new)


def _places(lines: Iterable[HistoryLine]) -> int:
    """The decimals of the longest fraction among the figures."""
    amounts = (amount.normalize() for line in lines for amount in (line.credits, line.balance_after))
    return max((-int(amount.as_tuple().exponent) for amount in amounts), default=0)


@lru_cache(maxsize=16)
def kind_labels(_language: str) -> dict[str, str]:
    """The labels of the kinds in the current language."""
    return {kind: escape(str(label)) for kind, label in Entry.Kind.choices}


def _aside(line: HistoryLine) -> str:
    """What stands beside the title: a reason or the conversation of a charge, else the grant."""
    if line.within is not None:
        amount = credits(line.within)
        if line.kind == Entry.Kind.HOLD:
            return _("%(amount)s of the budget reserved") % {"amount": amount}
        return _("%(amount)s returned to the budget") % {"amount": amount}
    if line.covered_by:
        return str(_COVERED.get(line.covered_by, ""))
    if line.charge_id:
        reason = line.reason
        if len(reason) > _LONGEST_REASON:
            reason = Truncator(reason).chars(_LONGEST_REASON)
        return reason or line.conversation
    return line.grant_label if line.grant_label != line.title else ""
