"""A route: an endpoint, the function that answers it, and the parameters that function understands."""

from collections.abc import Callable
from typing import NamedTuple

from sandbox.calls import Call
from sandbox.store import Body

PAGED_ONLY = "limit starting_after ending_before"
PAGED = f"{PAGED_ONLY} created"


class Route(NamedTuple):
    method: str
    path: str
    handler: Callable[[Call], Body]
    takes: str = ""

    @property
    def known(self) -> set[str]:
        """The parameters that are not refused."""
        return {"expand", *self.takes.split()}
