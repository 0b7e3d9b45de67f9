"""The pages of the mailbox: the list of e-mails, and one e-mail with its code and links extracted.

Invariant: the HTML of an e-mail runs no scripts: it is shown in a sandboxed frame, with a content security
policy that allows styles and images only.
"""

import re

from csp.constants import SELF
from csp.decorators import csp_exempt, csp_update
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_GET, require_POST

from sandbox.models import Mail

MOST_SHOWN = 100
CODE = re.compile(
    r"(?<![\w-])([0-9]{6,8}|[A-Z0-9]{3,4}-[A-Z0-9]{3,4}|(?=[A-Z0-9]*[0-9])[A-Z0-9]{6})(?![\w-])"
)
LINK = re.compile(r"https?://[^\s<>\"']+[^\s<>\"'.,;:!?)]")


@never_cache
@require_GET
def mails(request: HttpRequest) -> HttpResponse:
    """The newest e-mails, with `?to=` those to one address."""
    found = Mail.objects.order_by("-pk")
    if to := request.GET.get("to", "").strip():
        found = found.filter(recipients__contains=[to])
    listed = [{"mail": mail, "code": code_in(mail)} for mail in found[:MOST_SHOWN]]
    return render(request, "sandbox/mails.html", {"mails": listed, "to": to})


@csp_update({"frame-src": [SELF]})
@never_cache
@require_GET
def mail(request: HttpRequest, mail_id: int) -> HttpResponse:
    found = get_object_or_404(Mail, pk=mail_id)
    context = {"mail": found, "code": code_in(found), "links": links_in(found)}
    return render(request, "sandbox/mail.html", context)


@csp_exempt()
@xframe_options_sameorigin
@require_GET
def mail_html(request: HttpRequest, mail_id: int) -> HttpResponse:
    """The HTML of an e-mail, for the frame."""
    html = get_object_or_404(Mail, pk=mail_id).html
    response = HttpResponse(f'<base target="_blank">{html}')
    response["Content-Security-Policy"] = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'self'; "
        "sandbox allow-popups allow-popups-to-escape-sandbox"
    )
    return response


@require_POST
def empty(request: HttpRequest) -> HttpResponse:
    """Delete all e-mails."""
    Mail.objects.all().delete()
    return HttpResponseRedirect("/sandbox/mail/")


def code_in(mail: Mail) -> str:
    """The verification code in an e-mail, or ""."""
    text = LINK.sub(" ", mail.text or re.sub(r"<style.*?</style>|<[^>]+>", " ", mail.html, flags=re.DOTALL))
    found = CODE.search(text)
    return found[1] if found else ""


def links_in(mail: Mail) -> list[str]:
    """The links in an e-mail, each once, in order."""
    return list(dict.fromkeys(LINK.findall(mail.text or mail.html)))
