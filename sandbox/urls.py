"""The URLs of the sandbox; included by config.urls only when settings.SANDBOX is on."""

from django.urls import URLPattern, path
from django.views.generic import RedirectView

from sandbox.api import endpoint
from sandbox.pages import checkout, dashboard, invoice, mailbox, payment_steps, portal

app_name = "sandbox"
urlpatterns: list[URLPattern] = [
    path("stripe/v1/<path:path>", endpoint.api, name="api"),
    path("", dashboard.overview, name="home"),
    path("events/", dashboard.events, name="events"),
    path("events/<str:event_id>", dashboard.event_detail, name="event"),
    path("events/<str:event_id>/redeliver", dashboard.redeliver, name="redeliver"),
    path("objects/", dashboard.objects, name="objects"),
    path("objects/<str:stripe_id>", dashboard.object_detail, name="object"),
    path("objects/<str:stripe_id>/act", dashboard.act, name="act"),
    path("switches", dashboard.turn_switch, name="switch"),
    path("time", dashboard.run_due, name="run_due"),
    path("checkout/<str:session_id>", checkout.checkout, name="checkout"),
    path("authenticate/<str:intent_id>", payment_steps.authenticate, name="authenticate"),
    path("authorise/<str:intent_id>", payment_steps.authorise, name="authorise"),
    path("transfer/<str:intent_id>", payment_steps.transfer, name="transfer"),
    path("receipt/<str:charge_id>", payment_steps.receipt, name="receipt"),
    path("invoice/<str:invoice_id>", invoice.invoice, name="invoice"),
    path("portal/<str:portal_id>", portal.portal, name="portal"),
    path("portal/<str:portal_id>/card", portal.card, name="portal_card"),
    path("portal/<str:portal_id>/act", portal.act, name="portal_act"),
    path("mail/", mailbox.mails, name="mails"),
    path("mail/empty", mailbox.empty, name="empty_mailbox"),
    path("mail/<int:mail_id>", mailbox.mail, name="mail"),
    path("mail/<int:mail_id>/html", mailbox.mail_html, name="mail_html"),
    path("mailbox/", RedirectView.as_view(pattern_name="sandbox:mails")),
]
