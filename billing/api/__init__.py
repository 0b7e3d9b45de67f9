"""REST API of billing. Endpoints check the caller, make one domain call and build the response."""

from django.urls import path

from billing.api import offers, purchases, settings, subscription

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
    path("subscription", subscription.Subscription.as_view(), name="api_subscription"),
    path("subscription/change", subscription.Change.as_view(), name="api_subscription_change"),
    path("subscription/cancel", subscription.Cancel.as_view(), name="api_subscription_cancel"),
    path("subscription/resume", subscription.Resume.as_view(), name="api_subscription_resume"),
    path("redemptions", offers.Redemptions.as_view(), name="api_redemptions"),
    path("alerts", settings.Alerts.as_view(), name="api_alerts"),
    path("auto-top-up", settings.AutoTopUp.as_view(), name="api_auto_top_up"),
]
