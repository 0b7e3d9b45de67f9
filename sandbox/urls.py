"""The sandbox's addresses; mounted by config.urls only where settings.SANDBOX is on."""

from django.urls import URLPattern, path
from django.views.generic import RedirectView

from sandbox import checkout_pages, endpoint, home_pages, mail_pages, portal_pages, redirect_pages

app_name = "sandbox"
urlpatterns: list[URLPattern] = [
    path("", home_pages.home, name="home"),
    path("events/", home_pages.events, name="events"),
    path("events/<str:event_id>", home_pages.event, name="event"),
    path("events/<str:event_id>/redeliver", home_pages.redeliver, name="redeliver"),
    path("objects/", home_pages.objects, name="objects"),
    path("objects/<str:stripe_id>", home_pages.one_object, name="object"),
    path("objects/<str:stripe_id>/act", home_pages.act, name="act"),
    path("switches", home_pages.turn_switch, name="switch"),
    path("time", home_pages.pass_time, name="pass_time"),
    path("stripe/v1/<path:path>", endpoint.api, name="api"),
    path("checkout/<str:session_id>", checkout_pages.checkout, name="checkout"),
    path("checkout/<str:session_id>/code/", checkout_pages.promotion_code, name="promotion_code"),
    path("authenticate/<str:intent_id>", redirect_pages.authenticate, name="authenticate"),
    path("authorise/<str:intent_id>", redirect_pages.authorise, name="authorise"),
    path("transfer/<str:intent_id>", redirect_pages.transfer, name="transfer"),
    path("receipt/<str:charge_id>", redirect_pages.receipt, name="receipt"),
    path("invoice/<str:invoice_id>", portal_pages.invoice, name="invoice"),
    path("portal/<str:portal_id>", portal_pages.portal, name="portal"),
    path("portal/<str:portal_id>/card", portal_pages.card, name="portal_card"),
    path("portal/<str:portal_id>/act", portal_pages.act, name="portal_act"),
    path("mail/", mail_pages.mails, name="mails"),
    path("mail/empty", mail_pages.empty, name="empty_mailbox"),
    path("mail/<int:mail_id>", mail_pages.mail, name="mail"),
    path("mail/<int:mail_id>/html", mail_pages.mail_html, name="mail_html"),
    path("mailbox/", RedirectView.as_view(pattern_name="sandbox:mails")),
]
