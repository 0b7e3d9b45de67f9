"""Stripe's error objects, raised by handlers and answered by the API.

https://docs.stripe.com/api/errors and https://docs.stripe.com/error-codes
"""

from typing import Any


class StripeError(Exception):
    """An error response with Stripe's HTTP status, type, code and parameter."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        type: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error: dict[str, Any] = {"message": message, "type": type}
        if code:
            self.error |= {"code": code, "doc_url": documentation_url(code)}
        if param:
            self.error["param"] = param
        self.error |= {name: value for name, value in more.items() if value is not None}


def documentation_url(code: str) -> str:
    return f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"


def missing(param: str) -> StripeError:
    return StripeError(f"Missing required param: {param}.", code="parameter_missing", param=param)


def unsupported(message: str, *, param: str) -> StripeError:
    """Stripe accepts this value; the sandbox does not implement it."""
    return StripeError(message, code="sandbox_gap", param=param)


def unknown_object(
    kind: str, stripe_id: str, param: str | None = None, *, other_mode: str = ""
) -> StripeError:
    """404 for an id in the path, 400 for an id in the parameter `param`.

    `other_mode`: "test" or "live" when the account has the object in that mode.
    """
    name = kind.rsplit(".", 1)[-1]
    message = f"No such {name}: '{stripe_id}'"
    if other_mode:
        used = "live" if other_mode == "test" else "test"
        message += (
            f"; a similar object exists in {other_mode} mode, but a {used} mode key was used to make this"
            " request."
        )
    return StripeError(
        message,
        status=404 if param is None else 400,
        code="resource_missing",
        param=param or "id",
    )


def rolled_back(error: StripeError) -> StripeError:
    """The same error response as a plain StripeError, which rolls back what the handler wrote."""
    plain = StripeError(str(error), status=error.status)
    plain.error = error.error
    return plain
