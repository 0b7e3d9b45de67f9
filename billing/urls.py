"""Addresses of everything about money."""

from django.urls import path

from billing import buy_views, offer_views, plan_views, purchase_views, settings_views, webhook_views

urlpatterns = [
    path("billing/", settings_views.billing, name="billing"),
    path("billing/buy/", buy_views.buy, name="buy"),
    path("billing/buy/<slug:pack>/", buy_views.confirm_pack, name="confirm_pack"),
    path("billing/orders/", buy_views.order, name="order"),
    path("billing/purchases/", purchase_views.purchases, name="purchases"),
    path("billing/purchases/<str:public_id>/", purchase_views.purchase, name="purchase"),
    path("billing/purchases/<str:public_id>/return/", buy_views.purchase_return, name="purchase_return"),
    path("billing/purchases/<str:public_id>/state/", buy_views.purchase_state, name="purchase_state"),
    path("billing/purchases/<str:public_id>/left/", buy_views.purchase_left, name="purchase_left"),
    path("billing/purchases/<str:public_id>/pay/", buy_views.pay_again, name="pay_again"),
    path("billing/purchases/<str:public_id>/cancel/", buy_views.purchase_cancel, name="purchase_cancel"),
    path("billing/purchases/<str:public_id>/invoice/", purchase_views.invoice, name="invoice"),
    path("billing/purchases/<str:public_id>/invoice.pdf", purchase_views.invoice_pdf, name="invoice_pdf"),
    path("billing/purchases/<str:public_id>/refund/", purchase_views.refund, name="refund"),
    path("billing/subscription/", plan_views.subscription, name="subscription"),
    path("billing/subscription/cancel/", plan_views.cancel, name="cancel_subscription"),
    path("billing/subscription/resume/", plan_views.resume, name="resume_subscription"),
    path("billing/alerts/", settings_views.alerts_page, name="alerts"),
    path("billing/auto-top-up/", settings_views.auto_top_up_page, name="auto_top_up"),
    path("billing/card/", settings_views.save_card, name="save_card"),
    path("billing/card/saved/", settings_views.card_saved, name="card_saved"),
    path("billing/portal/", settings_views.portal, name="billing_portal"),
    path("billing/details/", settings_views.invoice_details, name="invoice_details"),
    path("billing/redeem/", offer_views.redeem, name="redeem"),
    path("billing/invitations/", offer_views.invitations, name="invitations"),
    path("invite/<str:code>/", offer_views.invited, name="invited"),
    path("plans/", plan_views.plans, name="plans"),
    path("plans/<slug:key>/", plan_views.change, name="plan_change"),
    path("stripe/webhook/", webhook_views.webhook, name="stripe_webhook"),
]
