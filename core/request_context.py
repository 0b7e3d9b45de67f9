"""What this thread's request is about, for its log lines.

Invariant: the values are used for logging only. They are not reset when a request ends, because Django logs
errors after the last middleware; the next request of the thread sets them anew.
"""

from contextvars import ContextVar
from uuid import UUID

request_id: ContextVar[str] = ContextVar("request_id", default="")
account_id: ContextVar[UUID | None] = ContextVar("account_id", default=None)
