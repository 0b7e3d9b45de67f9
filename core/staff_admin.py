"""Base classes of the admin: read-only lists, search by public id, no slow counts.

Invariant: rows of a ReadOnlyAdmin or ReadOnlyInline cannot be changed through the admin, whatever the
permissions.
"""

from typing import Any

from django.contrib.admin.utils import unquote
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest
from unfold.admin import ModelAdmin, TabularInline
from unfold.paginator import InfinitePaginator

from core.models import Identified


class ReadOnly:
    """Refuses adding, changing and deleting."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class StaffAdmin(ModelAdmin):
    """Lists without a count of all rows; searching for a public id finds its row."""

    list_per_page = 50
    show_full_result_count = False
    list_fullwidth = True

    def object_or_404(self, request: HttpRequest, object_id: str) -> Any:
        """The object of an action on one row. Raises Http404, also for a malformed id."""
        found = self.get_object(request, unquote(object_id))
        if found is None:
            raise Http404
        return found

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if issubclass(self.model, Identified):
            value = self.model.uuid_of(search_term.strip())
            if value is not None:
                return queryset.filter(pk=value), False
        found: tuple[QuerySet[Any], bool] = super().get_search_results(request, queryset, search_term)
        return found


class ReadOnlyAdmin(ReadOnly, StaffAdmin):
    """A read-only list."""

    actions = None


class LongReadOnlyAdmin(ReadOnlyAdmin):
    """ReadOnlyAdmin for tables of millions of rows: pages forward and back, without a count."""

    paginator = InfinitePaginator


class ReadOnlyInline(ReadOnly, TabularInline):
    """The newest rows of a related table."""

    model: type[Model]
    extra = 0
    max_num = 0
    newest = 20
    of = "account_id"  # the column that refers to the shown row
    show_change_link = True
    hide_title = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        match = request.resolver_match
        object_id = match.kwargs.get("object_id") if match else None
        if object_id is None:
            return rows.none()
        newest = rows.filter(**{self.of: object_id}).order_by("-pk").values("pk")[: self.newest]
        return rows.filter(pk__in=newest).order_by("-pk")
