"""The mailbox's pages: all mails, and one mail with its code and links easily read.

Invariant: a mail's HTML is shown inert: in a sandboxed frame, with a policy of its own that allows styles
and nothing else.
"""

from csp.constants import SELF
from csp.decorators import csp_exempt, csp_update
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_GET, require_POST

from sandbox import email_backend
from sandbox.models import Mail

SHOWN = 100


@never_cache
@require_GET
def mails(request: HttpRequest) -> HttpResponse:
    """The newest mails, on request those to one address (`?to=`)."""
    rows = Mail.objects.order_by("-pk")
    if to := request.GET.get("to", "").strip():
        rows = rows.filter(recipients__contains=[to])
    found = [{"mail": mail, "code": email_backend.code_in(mail)} for mail in rows[:SHOWN]]
    return render(request, "sandbox/mails.html", {"mails": found, "to": to})


@csp_update({"frame-src": [SELF]})
@never_cache
@require_GET
def mail(request: HttpRequest, mail_id: int) -> HttpResponse:
    found = get_object_or_404(Mail, pk=mail_id)
    context = {"mail": found, "code": email_backend.code_in(found), "links": email_backend.links_in(found)}
    return render(request, "sandbox/mail.html", context)


@csp_exempt()
@xframe_options_sameorigin
@require_GET
def mail_html(request: HttpRequest, mail_id: int) -> HttpResponse:
    """The mail's HTML alone, for the frame."""
    html = get_object_or_404(Mail, pk=mail_id).html
    response = HttpResponse(f'<base target="_blank">{html}')
    response["Content-Security-Policy"] = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'self'; "
        "sandbox allow-popups allow-popups-to-escape-sandbox"
    )
    return response


@require_POST
def empty(request: HttpRequest) -> HttpResponse:
    """Throw all mails away."""
    Mail.objects.all().delete()
    return HttpResponseRedirect("/sandbox/mail/")
