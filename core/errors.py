"""Base class of the errors by which a domain function refuses a request.

Invariant: each error states its own code, HTTP status and field, so that API and pages need no lists of
classes.
"""

from typing import Any


class Refusal(Exception):
    """A request that was understood and is refused; nothing was changed. The message is shown to the user.

    Subclasses set the attributes, on the class or in `__init__`; core.problems builds the API's answer from
    them.
    """

    code: str = "refused"
    status: int = 409  # HTTP status of the REST API's answer
    field: str = ""  # the input at fault; with status 400 it is listed in `errors` under `code`

    def extra(self) -> dict[str, Any]:
        """Members of the problem document beyond the standard ones."""
        return {}

    def headers(self) -> dict[str, str]:
        """HTTP headers of the answer."""
        return {}
