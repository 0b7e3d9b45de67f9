"""REST API of billing. Endpoints check the caller, make one domain call and build the response."""

from django.urls import path

from billing.api import cards, offers, purchases, referrals, settings, subscription

urlpatterns = [
    path("plans", offers.Plans.as_view(), name="api_plans"),
    path("packs", offers.Packs.as_view(), name="api_packs"),
    path("checkouts", purchases.Checkouts.as_view(), name="api_checkouts"),
    path("purchases", purchases.Purchases.as_view(), name="api_purchases"),
    path("purchases/<str:purchase>", purchases.OnePurchase.as_view(), name="api_purchase"),
    path(
        "purchases/<str:purchase>/refund-requests",
        purchases.RefundRequests.as_view(),
        name="api_refund_requests",
    ),
    path("purchases/<str:purchase>/cancel", purchases.CancelPurchase.as_view(), name="api_cancel_purchase"),
    path("purchases/<str:purchase>/invoice", purchases.Invoice.as_view(), name="api_invoice"),
    path("payment-method", cards.PaymentMethod.as_view(), name="api_payment_method"),
    path("customer-portal", cards.CustomerPortal.as_view(), name="api_customer_portal"),
    path("referral-link", referrals.ReferralLink.as_view(), name="api_referral_link"),
    path("referrals", referrals.Referrals.as_view(), name="api_referrals"),
    path("subscription", subscription.Subscription.as_view(), name="api_subscription"),
    path("subscription/change", subscription.Change.as_view(), name="api_subscription_change"),
    path("subscription/cancel", subscription.Cancel.as_view(), name="api_subscription_cancel"),
    path("subscription/resume", subscription.Resume.as_view(), name="api_subscription_resume"),
    path("subscription/pause", subscription.Pause.as_view(), name="api_subscription_pause"),
    path("subscription/unpause", subscription.EndPause.as_view(), name="api_subscription_unpause"),
    path("subscription/pay", subscription.PayOverdue.as_view(), name="api_pay_overdue"),
    path("redemptions", offers.Redemptions.as_view(), name="api_redemptions"),
    path("monthly-budget", settings.MonthlyBudget.as_view(), name="api_monthly_budget"),
    path("alerts", settings.Alerts.as_view(), name="api_alerts"),
    path("auto-top-up", settings.AutoTopUp.as_view(), name="api_auto_top_up"),
    path("auto-top-up/confirm", settings.ConfirmTopUp.as_view(), name="api_confirm_top_up"),
]
