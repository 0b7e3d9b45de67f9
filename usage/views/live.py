"""The stream that tells a browser when its pages are out of date: who may follow which account.

The web front (config.front.live) keeps the connection: it puts a function into the request's environment that
takes the follower of the stream, and sends the stream with the headers of this response. Under another WSGI
server the answer is 204, and the page polls: "Clients will reconnect if the connection is closed; a client
can be told to stop reconnecting using the HTTP 204 No Content response code"
(https://html.spec.whatwg.org/multipage/server-sent-events.html).
"""

from django.http import HttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from accounts.access import account_page
from accounts.http import AccountRequest
from usage import live_updates

FOLLOW = "refill.follow"  # the function's name in the environment


@require_GET
@never_cache
@account_page
def live(request: AccountRequest) -> HttpResponse:
    """A stream of the versions of the chosen account (`usage.live_updates`)."""
    follow = request.META.get(FOLLOW)
    if follow is None:
        return HttpResponse(status=204)
    follow(live_updates.follower_of(request, timezone.now()))
    response = HttpResponse(content_type="text/event-stream")
    response["X-Accel-Buffering"] = "no"  # nginx sends each event at once
    return response
