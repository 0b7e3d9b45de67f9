"""The sandbox's addresses; mounted by config.urls only where settings.SANDBOX is on."""

from django.urls import URLPattern, path
from django.views.generic import RedirectView

from sandbox.api import endpoint
from sandbox.pages import checkout, home, mailbox, portal, redirects

app_name = "sandbox"
urlpatterns: list[URLPattern] = [
    path("", home.home, name="home"),
    path("events/", home.events, name="events"),
    path("events/<str:event_id>", home.event, name="event"),
    path("events/<str:event_id>/redeliver", home.redeliver, name="redeliver"),
    path("objects/", home.objects, name="objects"),
    path("objects/<str:stripe_id>", home.one_object, name="object"),
    path("objects/<str:stripe_id>/act", home.act, name="act"),
    path("switches", home.turn_switch, name="switch"),
    path("time", home.pass_time, name="pass_time"),
    path("stripe/v1/<path:path>", endpoint.api, name="api"),
    path("checkout/<str:session_id>", checkout.checkout, name="checkout"),
    path("checkout/<str:session_id>/code/", checkout.promotion_code, name="promotion_code"),
    path("authenticate/<str:intent_id>", redirects.authenticate, name="authenticate"),
    path("authorise/<str:intent_id>", redirects.authorise, name="authorise"),
    path("transfer/<str:intent_id>", redirects.transfer, name="transfer"),
    path("receipt/<str:charge_id>", redirects.receipt, name="receipt"),
    path("invoice/<str:invoice_id>", portal.invoice, name="invoice"),
    path("portal/<str:portal_id>", portal.portal, name="portal"),
    path("portal/<str:portal_id>/card", portal.card, name="portal_card"),
    path("portal/<str:portal_id>/act", portal.act, name="portal_act"),
    path("mail/", mailbox.mails, name="mails"),
    path("mail/empty", mailbox.empty, name="empty_mailbox"),
    path("mail/<int:mail_id>", mailbox.mail, name="mail"),
    path("mail/<int:mail_id>/html", mailbox.mail_html, name="mail_html"),
    path("mailbox/", RedirectView.as_view(pattern_name="sandbox:mails")),
]
