"""The link of a monthly statement that unsubscribes its reader: signed, without a sign-in."""

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from usage import monthly_emails


@csrf_exempt  # mail programs post without a cookie; the signed link is the permission
@require_http_methods(["GET", "HEAD", "POST"])
def statement_emails(request: HttpRequest, token: str) -> HttpResponse:
    """Show whether the reader is subscribed (GET), unsubscribe or subscribe again (POST).

    A mail program posts `List-Unsubscribe=One-Click` and expects no redirect
    (https://www.rfc-editor.org/rfc/rfc8058#section-3.2); a GET, which programs that scan links send, changes
    nothing.
    """
    named = monthly_emails.named_by(token)
    if named is None:
        raise Http404
    if request.method == "POST":
        monthly_emails.set_wanted(*named, wanted="subscribe" in request.POST)
    return render(request, "usage/statement_emails.html", {"wanted": monthly_emails.is_wanted(*named)})
