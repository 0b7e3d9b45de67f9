"""Compression of pages, lists and exports with gzip. Static files are compressed in advance (static_files).

Invariants: streamed events are never compressed, because a compressor holds back what it was given. A page
that shows a secret is never compressed, so that its length says nothing about the secret (BREACH,
https://www.breachattack.com); on all others Django masks the CSRF token anew in each response, and adds up
to 100 random bytes (https://docs.djangoproject.com/en/5.2/ref/middleware/#module-django.middleware.gzip).
"""

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware

SMALLEST = 1400
"""Bytes: a shorter response fits in one packet, and most of the API's responses are shorter."""
TYPES = frozenset({"text/html", "text/csv", "application/json", "application/problem+json"})
SECRETS = ("/keys/", "/accounts/2fa/", "/admin/accounts/apikey/")
"""Paths below which pages show API keys, recovery codes and secrets of authenticator apps."""


class Compression(GZipMiddleware):
    """Middleware: compresses responses to GET for clients that accept gzip."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if request.method != "GET" or not is_compressible(response):
            return response
        if request.path_info.startswith(SECRETS):
            return response
        return super().process_response(request, response)


def is_compressible(response: HttpResponseBase) -> bool:
    if response.headers.get("Content-Type", "").partition(";")[0] not in TYPES:
        return False
    return not isinstance(response, HttpResponse) or len(response.content) >= SMALLEST
