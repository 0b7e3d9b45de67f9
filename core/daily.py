"""Work that runs once a day: beat starts its task often, and a row stores when the work last began.

Invariant: of concurrent tasks one begins the work. A run that is interrupted is repeated a day later.
"""

from datetime import datetime, timedelta

from django.db.models import Q

from core.models import DailyRun

EVERY = timedelta(days=1)


def begin(name: str, now: datetime) -> bool:
    """Whether the work with this name is due; then it counts as begun.

    A start a day in the future does not count: the clock was wrong.
    """
    _run, is_new = DailyRun.objects.get_or_create(name=name, defaults={"began_at": now})
    if is_new:
        return True
    due = Q(began_at__lte=now - EVERY) | Q(began_at__gte=now + EVERY)
    return bool(DailyRun.objects.filter(due, name=name).update(began_at=now))
