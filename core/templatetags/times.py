"""Relative times for people, with the exact time on hover and in `<time>`.

Exact times are in the current time zone, which pages set to the zone of the account.
"""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from django import template
from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

register = template.Library()
_FAR = timedelta(days=7)


def exact(moment: datetime) -> str:
    """Date, time and zone: `20 Nov 2026, 16:04:05 CET`."""
    return _exact(timezone.localtime(moment))


def _exact(local: datetime) -> str:
    date = _date(local, "SHORT_DATE_FORMAT")
    return _("%(date)s, %(time)s") % {"date": date, "time": f"{local:%H:%M:%S} {local.tzname()}"}


def span(length: timedelta) -> str:
    """A length of time in its two largest units: `7 h 12 min`, `3 days`, `45 s`."""
    seconds = max(0, int(length.total_seconds()))
    days, rest = divmod(seconds, 86400)
    hours, minutes = rest // 3600, rest % 3600 // 60
    if days >= 2:
        return ngettext("%(n)d day", "%(n)d days", days) % {"n": days}
    if days or hours:
        hours += 24 * days
        if minutes and hours < 24:
            return _("%(hours)d h %(minutes)d min") % {"hours": hours, "minutes": minutes}
        return _("%(n)d h") % {"n": hours}
    return _("%(n)d min") % {"n": minutes} if minutes else _("%(n)d s") % {"n": seconds}


def _element(local: datetime, words: str) -> SafeString:
    stamp = local.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return format_html('<time datetime="{}" title="{}">{}</time>', stamp, _exact(local), words)


def _day(local: datetime, now: datetime) -> str:
    is_this_year = local.year == now.astimezone(local.tzinfo).year
    return _date(local, "MONTH_DAY_FORMAT" if is_this_year else "SHORT_DATE_FORMAT")


def _date(local: datetime, form: str) -> str:
    return _date_in(get_language() or "", local.date(), form)


@lru_cache(maxsize=2048)
def _date_in(_language: str, day: date, form: str) -> str:
    """Cached: the rows of a statement share a few days, and formatting one takes 20 µs."""
    return formats.date_format(day, form)


@register.filter
def day(text: str) -> str:
    """The date of an ISO text, such as an e-mail's context contains; any other text as it is."""
    try:
        return _date_in(get_language() or "", date.fromisoformat(text), "DATE_FORMAT")
    except ValueError:
        return text


@register.filter
def month(text: str) -> str:
    """The month and year of an ISO date; any other text as it is."""
    try:
        return _date_in(get_language() or "", date.fromisoformat(text), "YEAR_MONTH_FORMAT")
    except ValueError:
        return text


@register.simple_tag
def ago(moment: datetime | None, now: datetime | None = None) -> str:
    """`3 min ago`; older than a week: the date."""
    if moment is None:
        return ""
    present, local = now or timezone.now(), timezone.localtime(moment)
    passed = present - moment
    if passed >= _FAR:
        return _element(local, _day(local, present))
    if passed < timedelta(seconds=10):
        return _element(local, _("just now"))
    return _element(local, _("%(span)s ago") % {"span": span(passed)})


@register.simple_tag
def until(moment: datetime | None, now: datetime | None = None) -> str:
    """`in 7 h 12 min`; further than a week: the date; never: an empty text."""
    if moment is None:
        return ""
    present, local = now or timezone.now(), timezone.localtime(moment)
    left = moment - present
    if left >= _FAR:
        return _element(local, _("on %(day)s") % {"day": _day(local, present)})
    return _element(local, _("in %(span)s") % {"span": span(left)} if left > timedelta(0) else _("now"))


@register.simple_tag
def at(moment: datetime | None, now: datetime | None = None) -> str:
    """The date and time: `20 Nov, 16:04` (with the year unless it is the current one)."""
    if moment is None:
        return ""
    local = timezone.localtime(moment)
    day = _day(local, now or timezone.now())
    return _element(local, _("%(date)s, %(time)s") % {"date": day, "time": f"{local:%H:%M}"})
