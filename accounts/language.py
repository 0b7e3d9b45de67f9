"""The language of a page: the user's setting, else the choice of a visitor, else the browser's languages.

Invariants: the API and the admin are in `settings.LANGUAGE_CODE`, whatever a client accepts; a
thread that has served a page keeps no language for the next request.
"""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import translation
from django.utils.cache import patch_vary_headers

from accounts.models import User

# The API's texts are for developers, and the admin's terms are those of the runbook. The brand's stylesheet
# and icon have no texts: without a session and `Vary` they stay cacheable for everybody.
_ONE_LANGUAGE = ("/api/", "/admin/", "/brand.", "/.well-known/")

Next = Callable[[HttpRequest], HttpResponse]


class Language:
    """Middleware (after AuthenticationMiddleware): renders the response in the language of its reader."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info.startswith(_ONE_LANGUAGE):
            with translation.override(settings.LANGUAGE_CODE):
                return self.get_response(request)
        language = language_of(request)
        with translation.override(language):
            response = self.get_response(request)
        response.headers.setdefault("Content-Language", language)
        patch_vary_headers(response, ("Accept-Language", "Cookie"))
        return response


def language_of(request: HttpRequest) -> str:
    """The language for the request's user or visitor. One that is no longer offered does not count."""
    chosen = request.user.language if isinstance(request.user, User) else ""
    return chosen if chosen in dict(settings.LANGUAGES) else translation.get_language_from_request(request)


def for_address(email: str) -> str:
    """The language that the user of the address has chosen, else the current one."""
    chosen = User.objects.filter(email=email).exclude(language="").values_list("language", flat=True).first()
    return chosen or translation.get_language()


def remember(response: HttpResponse, language: str) -> None:
    """Let this browser keep the language after sign-out; with "" its own languages count again."""
    if language:
        response.set_cookie(
            settings.LANGUAGE_COOKIE_NAME,
            language,
            max_age=settings.LANGUAGE_COOKIE_AGE,
            secure=settings.LANGUAGE_COOKIE_SECURE,
            httponly=settings.LANGUAGE_COOKIE_HTTPONLY,
            samesite="Lax",
        )
    else:
        response.delete_cookie(settings.LANGUAGE_COOKIE_NAME)
