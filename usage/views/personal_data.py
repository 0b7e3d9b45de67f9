"""The download of all data of the signed-in user."""

from django.http import StreamingHttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.access import account_page
from accounts.http import AccountRequest
from accounts.models import personal_account_of
from usage import personal_data


@require_safe
@account_page
def download(request: AccountRequest) -> StreamingHttpResponse:
    """The data of the user and of the personal account as JSON."""
    now = timezone.now()
    parts = personal_data.as_json(request.user, personal_account_of(request.user), now)
    response = StreamingHttpResponse(parts, content_type="application/json")
    response["Content-Disposition"] = f'attachment; filename="my-data-{now.date().isoformat()}.json"'
    return response
