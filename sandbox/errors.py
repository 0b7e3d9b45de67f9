"""How the sandbox refuses: Stripe's error objects, so that the SDK raises what it would raise on Stripe."""

from typing import Any


class StripeError(Exception):
    """A refusal with Stripe's HTTP status, type, code and parameter."""

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
            self.error |= {
                "code": code,
                "doc_url": f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}",
            }
        if param:
            self.error["param"] = param
        self.error |= {name: value for name, value in more.items() if value is not None}


def missing(param: str) -> StripeError:
    return StripeError(f"Missing required param: {param}.", code="parameter_missing", param=param)


def unknown_object(kind: str, stripe_id: str, param: str | None = None) -> StripeError:
    name = kind.rsplit(".", 1)[-1]
    return StripeError(
        f"No such {name}: '{stripe_id}'",
        status=404 if param is None else 400,
        code="resource_missing",
        param=param or "id",
    )


def unexpected_state(message: str, *, code: str, **more: Any) -> StripeError:
    return StripeError(message, code=code, **more)


def refusal_of(error: StripeError) -> StripeError:
    """The same answer as a plain refusal: what was written on the way to it is taken back."""
    plain = StripeError(str(error), status=error.status)
    plain.error = error.error
    return plain
