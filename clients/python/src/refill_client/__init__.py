"""Client of the Refill API: charges, holds and balances of prepaid credits.

client = Client("https://credits.example.org", key)
with client.hold("claude-sonnet-4", {"input_tokens": 4000, "output_tokens": 1000}) as hold:
    hold.capture(call_the_model())
"""

from refill_client._decoding import UNCHANGED
from refill_client._exchange import Retries
from refill_client._holds import AsyncHoldContext, HoldContext
from refill_client._spending import ChargeFields, Use, UseFields
from refill_client.charging import charged
from refill_client.client import AsyncClient, Client
from refill_client.errors import (
    ApiError,
    BudgetExceeded,
    ChildrenOpen,
    Conflict,
    FieldError,
    HoldClosed,
    InsufficientCredits,
    InvalidRequest,
    InvalidWebhook,
    KeyReused,
    LimitReached,
    NotFound,
    OutcomeUnknown,
    PermissionDenied,
    QuotaReached,
    RateLimited,
    RefillError,
    ServiceUnpriced,
    Unauthenticated,
    UnexpectedResponse,
    WayOn,
)
from refill_client.usage import usage_of
from refill_client.webhooks import verify_webhook

__all__ = [
    "UNCHANGED",
    "ApiError",
    "AsyncClient",
    "AsyncHoldContext",
    "BudgetExceeded",
    "ChargeFields",
    "ChildrenOpen",
    "Client",
    "Conflict",
    "FieldError",
    "HoldClosed",
    "HoldContext",
    "InsufficientCredits",
    "InvalidRequest",
    "InvalidWebhook",
    "KeyReused",
    "LimitReached",
    "NotFound",
    "OutcomeUnknown",
    "PermissionDenied",
    "QuotaReached",
    "RateLimited",
    "RefillError",
    "Retries",
    "ServiceUnpriced",
    "Unauthenticated",
    "UnexpectedResponse",
    "Use",
    "UseFields",
    "WayOn",
    "charged",
    "usage_of",
    "verify_webhook",
]
