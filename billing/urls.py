"""URLs of the billing pages and of Stripe's webhook."""

from django.urls import path

from billing.views import buy, cards, codes, erasure, plans, public_offers, purchases, settings
from billing.webhooks import views

urlpatterns = [
    path("billing/", settings.overview, name="billing"),
    path("billing/buy/", buy.buy, name="buy"),
    path("billing/buy/<slug:pack>/", buy.confirm_pack, name="confirm_pack"),
    path("billing/buy/<slug:pack>/sum", buy.order_sum, name="order_sum"),
    path("billing/purchases/", purchases.list_purchases, name="purchases"),
    path("billing/purchases/new/", buy.create_purchase, name="create_purchase"),
    path("billing/purchases/<str:public_id>/", purchases.show_purchase, name="purchase"),
    path("billing/purchases/<str:public_id>/return/", buy.purchase_return, name="purchase_return"),
    path("billing/purchases/<str:public_id>/state/", buy.purchase_state, name="purchase_state"),
    path("billing/purchases/<str:public_id>/left/", buy.purchase_unpaid, name="purchase_unpaid"),
    path("billing/purchases/<str:public_id>/pay/", buy.continue_to_payment, name="continue_to_payment"),
    path("billing/purchases/<str:public_id>/cancel/", buy.cancel_purchase, name="cancel_purchase"),
    path("billing/purchases/<str:public_id>/invoice/", purchases.show_invoice, name="invoice"),
    path("billing/purchases/<str:public_id>/invoice.pdf", purchases.download_invoice, name="invoice_pdf"),
    path("billing/purchases/<str:public_id>/refund/", purchases.request_refund, name="refund"),
    path(
        "billing/purchases/<str:public_id>/refund/withdraw/",
        purchases.withdraw_refund_request,
        name="withdraw_refund_request",
    ),
    path("billing/subscription/", plans.subscription, name="subscription"),
    path("billing/subscription/cancel/", plans.cancel, name="cancel_subscription"),
    path("billing/subscription/pause/", plans.pause, name="pause_subscription"),
    path("billing/subscription/unpause/", plans.end_pause, name="end_pause"),
    path("billing/subscription/resume/", plans.resume, name="resume_subscription"),
    path("billing/alerts/", settings.alert_settings, name="alerts"),
    path("billing/alerts/confirm/<str:token>/", settings.confirm_alerts, name="confirm_alerts"),
    path("billing/auto-top-up/", settings.auto_top_up_settings, name="auto_top_up"),
    path("billing/auto-top-up/confirm/", settings.confirm_top_up, name="confirm_top_up"),
    path("billing/auto-top-up/confirmed/", settings.top_up_confirmed, name="top_up_confirmed"),
    path("billing/card/", cards.save_card, name="save_card"),
    path("billing/card/saved/", cards.card_saved, name="card_saved"),
    path("billing/card/remove/", cards.remove_card, name="remove_card"),
    path("billing/overdue/", cards.pay_overdue, name="pay_overdue"),
    path("billing/portal/", cards.customer_portal, name="billing_portal"),
    path("billing/details/", settings.invoice_details, name="invoice_details"),
    path("billing/redeem/", codes.redeem, name="redeem"),
    path("billing/invitations/", codes.invitations, name="invitations"),
    path("settings/delete/", erasure.delete_account, name="delete_account"),
    path("invite/<str:code>/", public_offers.invited, name="invited"),
    path("plans/", plans.plans, name="plans"),
    path("plans/<slug:key>/", plans.change, name="plan_change"),
    path("stripe/webhook/", views.webhook, name="stripe_webhook"),
]
