"""What every app's admin is built from: lists that only show, searches by public id, counts nobody waits for.

Invariant: what is built on ReadOnlyAdmin or ReadOnlyInline can be changed by nobody through the admin,
whatever permissions they have.
"""

from typing import Any

from django.db.models import Model, QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline
from unfold.paginator import InfinitePaginator

from core.models import Identified


class ReadOnly:
    """Nothing is added, changed or deleted here."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class StaffAdmin(ModelAdmin):
    """Lists without a count of all rows; a pasted public id finds its row."""

    list_per_page = 50
    show_full_result_count = False
    list_fullwidth = True

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
    """A list of what was, for looking only."""

    actions = None


class LongReadOnlyAdmin(ReadOnlyAdmin):
    """As ReadOnlyAdmin, for tables of millions of rows: nothing counts them, pages only go on."""

    paginator = InfinitePaginator


class ReadOnlyInline(ReadOnly, TabularInline):
    """Rows of another table beside the one that is shown; the newest, and not all of them."""

    model: type[Model]
    extra = 0
    max_num = 0
    newest = 20
    of = "account_id"  # the column that names the row it stands beside
    show_change_link = True
    hide_title = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        match = request.resolver_match
        beside = match.kwargs.get("object_id") if match else None
        if beside is None:
            return rows.none()
        newest = rows.filter(**{self.of: beside}).order_by("-pk").values("pk")[: self.newest]
        return rows.filter(pk__in=newest).order_by("-pk")
