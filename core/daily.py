"""Work that runs once a day, whatever restarts: beat asks for it often, and a row says when it began last.

Invariant: of concurrent requests one begins. A run that dies is begun again a day later.
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
