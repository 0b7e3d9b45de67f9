"""Routes for what is paid once: customers, checkouts, payments, refunds, disputes, prices, events."""

from sandbox.api.route import PAGED, PAGED_ONLY, Route
from sandbox.objects import (
    account,
    balance,
    charges,
    checkout_sessions,
    customers,
    discounts,
    disputes,
    events,
    payment_intent_api,
    payment_methods,
    prices,
    refunds,
    setup_intents,
    webhook_endpoints,
)

CUSTOMER = (
    "email name phone description preferred_locales tax_exempt balance address shipping metadata "
    "invoice_settings"
)
CHECKOUT = (
    "mode line_items success_url cancel_url customer customer_email customer_creation client_reference_id "
    "metadata payment_intent_data subscription_data setup_intent_data allowed_payment_method_types "
    "excluded_payment_method_types payment_method_options allow_promotion_codes discounts expires_at "
    "locale submit_type currency ui_mode billing_address_collection phone_number_collection "
    "tax_id_collection consent_collection custom_text customer_update payment_method_collection "
    "saved_payment_method_options integration_identifier branding_settings origin_context"
)
INTENT = (
    "amount currency customer payment_method description metadata receipt_email setup_future_usage "
    "statement_descriptor statement_descriptor_suffix transfer_group allowed_payment_method_types "
    "payment_method_options"
)
PRICE = (
    "currency unit_amount unit_amount_decimal product product_data recurring metadata nickname lookup_key "
    "transfer_lookup_key active tax_behavior"
)
PRODUCT = (
    "name id active description images metadata default_price_data marketing_features "
    "statement_descriptor tax_code unit_label url"
)
ROUTES = (
    Route("get", "/v1/account", account.retrieve),
    Route("get", "/v1/balance", balance.retrieve_balance),
    Route("get", "/v1/balance_transactions", balance.list_transactions, f"{PAGED} type source currency"),
    Route("get", "/v1/balance_transactions/{id}", balance.retrieve),
    Route("get", "/v1/products", prices.list_products, f"{PAGED} active"),
    Route("post", "/v1/products", prices.create_product, PRODUCT),
    Route("get", "/v1/products/{id}", prices.retrieve_product),
    Route(
        "post",
        "/v1/products/{id}",
        prices.update_product,
        "name active description images metadata default_price marketing_features statement_descriptor "
        "tax_code unit_label url",
    ),
    Route("get", "/v1/prices", prices.list_prices, f"{PAGED} active product currency type lookup_keys"),
    Route("post", "/v1/prices", prices.create_price, PRICE),
    Route("get", "/v1/prices/{price}", prices.retrieve_price),
    Route(
        "post",
        "/v1/prices/{price}",
        prices.update_price,
        "active nickname lookup_key transfer_lookup_key metadata tax_behavior",
    ),
    Route("get", "/v1/coupons", discounts.list_coupons, PAGED),
    Route(
        "post",
        "/v1/coupons",
        discounts.create_coupon,
        "id percent_off amount_off currency duration duration_in_months max_redemptions metadata name "
        "redeem_by",
    ),
    Route("get", "/v1/coupons/{coupon}", discounts.retrieve_coupon),
    Route("delete", "/v1/coupons/{coupon}", discounts.delete_coupon),
    Route("get", "/v1/promotion_codes", discounts.list_codes, f"{PAGED} code active customer coupon"),
    Route(
        "post",
        "/v1/promotion_codes",
        discounts.create_code,
        "promotion code active customer expires_at max_redemptions metadata restrictions",
    ),
    Route("get", "/v1/promotion_codes/{promotion_code}", discounts.retrieve_code),
    Route("post", "/v1/promotion_codes/{promotion_code}", discounts.update_code, "active metadata"),
    Route("get", "/v1/customers", customers.list_customers, f"{PAGED} email test_clock"),
    Route("post", "/v1/customers", customers.create, f"{CUSTOMER} payment_method test_clock"),
    Route("get", "/v1/customers/{customer}", customers.retrieve),
    Route("post", "/v1/customers/{customer}", customers.update, CUSTOMER),
    Route("delete", "/v1/customers/{customer}", customers.delete),
    Route(
        "get",
        "/v1/customers/{customer}/payment_methods",
        payment_methods.list_of_customer,
        f"{PAGED_ONLY} type allow_redisplay",
    ),
    Route(
        "get",
        "/v1/customers/{customer}/payment_methods/{payment_method}",
        payment_methods.retrieve_of_customer,
    ),
    Route("get", "/v1/payment_methods", payment_methods.list_methods, f"{PAGED_ONLY} customer type"),
    Route(
        "post", "/v1/payment_methods", payment_methods.create, "type card billing_details metadata sepa_debit"
    ),
    Route("get", "/v1/payment_methods/{payment_method}", payment_methods.retrieve),
    Route(
        "post",
        "/v1/payment_methods/{payment_method}",
        payment_methods.update,
        "billing_details metadata allow_redisplay",
    ),
    Route("post", "/v1/payment_methods/{payment_method}/attach", payment_methods.attach_by_api, "customer"),
    Route("post", "/v1/payment_methods/{payment_method}/detach", payment_methods.detach),
    Route(
        "get",
        "/v1/checkout/sessions",
        checkout_sessions.list_sessions,
        f"{PAGED} customer payment_intent status subscription",
    ),
    Route("post", "/v1/checkout/sessions", checkout_sessions.create, CHECKOUT),
    Route("get", "/v1/checkout/sessions/{session}", checkout_sessions.retrieve),
    Route("post", "/v1/checkout/sessions/{session}", checkout_sessions.update, "metadata"),
    Route("post", "/v1/checkout/sessions/{session}/expire", checkout_sessions.expire),
    Route("get", "/v1/checkout/sessions/{session}/line_items", checkout_sessions.list_line_items, PAGED_ONLY),
    Route("get", "/v1/payment_intents", payment_intent_api.list_intents, f"{PAGED} customer"),
    Route(
        "post",
        "/v1/payment_intents",
        payment_intent_api.create,
        f"{INTENT} confirm off_session return_url automatic_payment_methods error_on_requires_action",
    ),
    Route("get", "/v1/payment_intents/{intent}", payment_intent_api.retrieve),
    Route("post", "/v1/payment_intents/{intent}", payment_intent_api.update, INTENT),
    Route(
        "post",
        "/v1/payment_intents/{intent}/confirm",
        payment_intent_api.confirm,
        "payment_method off_session return_url setup_future_usage receipt_email",
    ),
    Route("post", "/v1/payment_intents/{intent}/cancel", payment_intent_api.cancel, "cancellation_reason"),
    Route("get", "/v1/setup_intents", setup_intents.list_intents, f"{PAGED} customer payment_method"),
    Route(
        "post",
        "/v1/setup_intents",
        setup_intents.create,
        "customer payment_method confirm usage description metadata return_url automatic_payment_methods",
    ),
    Route("get", "/v1/setup_intents/{intent}", setup_intents.retrieve),
    Route("post", "/v1/setup_intents/{intent}/confirm", setup_intents.confirm, "payment_method return_url"),
    Route("post", "/v1/setup_intents/{intent}/cancel", setup_intents.cancel, "cancellation_reason"),
    Route("get", "/v1/charges", charges.list_charges, f"{PAGED} customer payment_intent"),
    Route("get", "/v1/charges/{charge}", charges.retrieve),
    Route("post", "/v1/charges/{charge}", charges.update, "metadata description receipt_email"),
    Route("get", "/v1/refunds", refunds.list_refunds, f"{PAGED} charge payment_intent"),
    Route("post", "/v1/refunds", refunds.create, "charge payment_intent amount reason metadata"),
    Route("get", "/v1/refunds/{refund}", refunds.retrieve),
    Route("post", "/v1/refunds/{refund}", refunds.update, "metadata"),
    Route("post", "/v1/refunds/{refund}/cancel", refunds.cancel),
    Route("get", "/v1/disputes", disputes.list_disputes, f"{PAGED} charge payment_intent"),
    Route("get", "/v1/disputes/{dispute}", disputes.retrieve),
    Route("post", "/v1/disputes/{dispute}", disputes.update, "evidence metadata submit"),
    Route("post", "/v1/disputes/{dispute}/close", disputes.close),
    Route("get", "/v1/events", events.list_events, f"{PAGED} type types delivery_success"),
    Route("get", "/v1/events/{id}", events.retrieve),
    Route("get", "/v1/webhook_endpoints", webhook_endpoints.list_endpoints, PAGED_ONLY),
    Route(
        "post",
        "/v1/webhook_endpoints",
        webhook_endpoints.create,
        "url enabled_events description metadata api_version",
    ),
    Route("get", "/v1/webhook_endpoints/{webhook_endpoint}", webhook_endpoints.retrieve),
    Route(
        "post",
        "/v1/webhook_endpoints/{webhook_endpoint}",
        webhook_endpoints.update,
        "url enabled_events description metadata disabled",
    ),
    Route("delete", "/v1/webhook_endpoints/{webhook_endpoint}", webhook_endpoints.delete),
)
