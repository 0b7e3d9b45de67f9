"""Brand stylesheet and icon, documentation, FAQ and support pages; what is needed to verify statements."""

import json

from django.conf import settings
from django.http import FileResponse, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import patch_cache_control
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from billing import ledger
from pricing import selectors
from usage.context_processors import current_brand

DAY = 86400
YEAR = 365 * DAY
VERIFIER = settings.BASE_DIR / "clients" / "verify_statement.py"


@require_safe
def brand_css(request: HttpRequest) -> HttpResponse:
    """The stylesheet with the brand's colours. Under the URL of their version it never changes."""
    brand = current_brand()
    response = HttpResponse(brand.css, content_type="text/css; charset=utf-8")
    if request.GET.get("v") == brand.version:
        patch_cache_control(response, public=True, max_age=YEAR, immutable=True)
    else:
        patch_cache_control(response, public=True, max_age=DAY)
    return response


@require_safe
@cache_control(public=True, max_age=DAY)
def brand_icon(request: HttpRequest) -> HttpResponse:
    """The brand's icon as SVG."""
    return render(request, "brand_icon.svg", {"brand": current_brand()}, content_type="image/svg+xml")


@require_safe
@cache_control(public=True, max_age=3600)
def ledger_keys(request: HttpRequest) -> JsonResponse:
    """The public keys that verify the ledger's checkpoints, the current one first."""
    keys = [
        {"key_id": key_id, "algorithm": "Ed25519", "public_key": key}
        for key_id, key in ledger.checkpoints.published_keys().items()
    ]
    return JsonResponse({"format": "refill-ledger-keys/1", "keys": keys})


@require_safe
def verifier(request: HttpRequest) -> FileResponse:
    """The program that verifies a statement offline."""
    return FileResponse(
        VERIFIER.open("rb"), as_attachment=True, filename=VERIFIER.name, content_type="text/x-python"
    )


@require_safe
def documentation(request: HttpRequest) -> HttpResponse:
    """How to use the product, with an example request for a service of the catalogue."""
    example = selectors.example_use(timezone.now())
    plan = selectors.free_plan()
    context = {
        "must_buy_first": plan is not None and not plan.allowances,
        "site_url": settings.SITE_URL,
        "example_service": example[0].facts.key if example else "…",
        "example_usage": json.dumps(example[1] if example else {"uses": 1}),
        "reference_url": reverse("api_docs"),
    }
    return render(request, "usage/documentation.html", context)


@require_safe
def faq(request: HttpRequest) -> HttpResponse:
    """Frequently asked questions, from the catalogue."""
    return render(request, "usage/faq.html")


@require_safe
def support(request: HttpRequest) -> HttpResponse:
    """How to contact support."""
    return render(request, "usage/support.html")
