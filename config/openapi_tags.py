"""Tags of the OpenAPI document: the groups of operations, in the order of the documentation page."""

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
        "redemptions": "Promotion and invitation codes.",
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
