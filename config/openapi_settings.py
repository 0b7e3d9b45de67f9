"""Settings of drf-spectacular, which generates the OpenAPI document."""

from config import outgoing_webhooks

# The groups of operations, in the order of the documentation page.
TAGS = [
    {"name": name, "description": description}
    for name, description in {
        "balance": "Credits that can be spent now.",
        "charges": "Credits taken for uses that happened.",
        "holds": "Credits reserved for uses whose amount is not known yet.",
        "estimates": "Prices of uses before they happen.",
        "services": "What credits buy, and what it costs.",
        "grants": "Credits given at one time for one reason.",
        "transactions": "The ledger's entries.",
        "usage": "Sums of what was spent.",
        "plans": "Plans on offer.",
        "packs": "Packs of credits on offer.",
        "checkouts": "Payment pages.",
        "purchases": "Orders and their refunds.",
        "subscription": "The account's plan.",
        "payment-method": "The saved card, and what the plan is charged to.",
        "redemptions": "Promotion and invitation codes.",
        "referral-link": "The invitation link, and what it gives.",
        "referrals": "Accounts that signed up through the link.",
        "settings": "Name, time zone and invoice details of the account.",
        "alerts": "Alerts of low credits.",
        "auto-top-up": "Automatic purchases of credits.",
        "projects": "Projects and their daily limits.",
        "provider-keys": "The account's own keys at model providers.",
        "members": "Who shares the account.",
        "invitations": "Invitations to share the account.",
        "keys": "API keys with their limits.",
        "events": "Changes as they happen.",
        "webhook-endpoints": "Addresses that receive events.",
        "webhook-deliveries": "What was sent to webhooks, and what they answered.",
        "accounts": "Accounts of the product's users, for platform keys.",
    }.items()
]

SETTINGS = {
    "TITLE": "Refill API",
    "DESCRIPTION": "Credits: what they buy, what was spent, what is left.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "TAGS": TAGS,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"persistAuthorization": False, "validatorUrl": None},
    "ENABLE_DJANGO_DEPLOY_CHECK": False,
    "COMPONENT_SPLIT_PATCH": False,
    "ENFORCE_NON_BLANK_FIELDS": True,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "ENUM_NAME_OVERRIDES": {
        "GrantKind": "billing.models.Grant.Kind",
        "Meter": "pricing.rates.meters.METERS",
        "EntryKind": "billing.models.Entry.Kind",
        "HoldStatus": "billing.models.Hold.Status",
        "PurchaseStatus": "billing.models.Purchase.Status",
        "RefundStatus": "billing.models.Refund.Status",
        "ReportStatus": "usage.models.ChargeReport.Status",
        "ServiceKind": "pricing.models.Service.Kind",
        "WebhookEventType": "accounts.models.WebhookEvent.Type",
    },
    "WEBHOOKS": outgoing_webhooks.IN_OPENAPI,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "config.openapi.with_headers",
    ],
}
