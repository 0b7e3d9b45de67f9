"""REST API of accounts. Endpoints check the caller, make one domain call and build the response."""

from django.urls import path

from accounts.api import webhooks

urlpatterns = [
    path("webhook-endpoints", webhooks.WebhookEndpoints.as_view(), name="api_webhook_endpoints"),
    path(
        "webhook-endpoints/<str:webhook_endpoint>",
        webhooks.OneWebhookEndpoint.as_view(),
        name="api_webhook_endpoint",
    ),
    path(
        "webhook-endpoints/<str:webhook_endpoint>/rotate-secret",
        webhooks.RotateWebhookSecret.as_view(),
        name="api_rotate_webhook_secret",
    ),
    path(
        "webhook-endpoints/<str:webhook_endpoint>/test",
        webhooks.TestWebhookEndpoint.as_view(),
        name="api_test_webhook_endpoint",
    ),
    path("webhook-deliveries", webhooks.WebhookDeliveries.as_view(), name="api_webhook_deliveries"),
    path(
        "webhook-deliveries/<str:webhook_delivery>/redeliver",
        webhooks.RedeliverWebhook.as_view(),
        name="api_redeliver_webhook",
    ),
]
