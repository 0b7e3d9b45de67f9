"""Base classes of the admin: read-only lists, search by public id, no slow counts, the audit log.

Invariants: rows of a ReadOnlyAdmin or ReadOnlyInline cannot be changed through the admin, whatever the
permissions; what a form of the admin adds, changes or deletes is recorded in the same transaction; a form
writes the fields that were edited and no others.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.contrib.admin.widgets import AutocompleteSelect
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.text import capfirst
from unfold.admin import ModelAdmin, TabularInline
from unfold.dataclasses import UnfoldAction
from unfold.paginator import InfinitePaginator

from core import staff_acts
from core.models import Identified


class LabelledAutocomplete(AutocompleteSelect):
    """A search field whose placeholder names it: screen readers read nothing else of Select2."""

    def build_attrs(self, base_attrs: dict[str, Any], extra_attrs: Any = None) -> dict[str, Any]:
        attrs = super().build_attrs(base_attrs, extra_attrs)
        return attrs | {"data-placeholder": capfirst(self.field.verbose_name)}


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
    personal_fields: ClassVar[frozenset[str]] = frozenset()
    """Fields whose values are not recorded in the audit log, because they are erased with a person."""

    def record(
        self,
        request: HttpRequest,
        subject: Model | None,
        act: str,
        *,
        reason: str = "",
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> None:
        """Record an act on a row of this list, inside its transaction."""
        staff_acts.record(
            actor_id=request.user.pk,  # type: ignore[arg-type]
            act=f"{self.opts.model_name}.{act}",
            subject=subject,
            reason=reason,
            before=staff_acts.values(before or {}, concealed=self.personal_fields),
            after=staff_acts.values(after or {}, concealed=self.personal_fields),
            now=timezone.now(),
        )

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> Any:
        """Django's description of what a form has saved; it is called in the form's transaction."""
        names = form.changed_data
        if add or names:
            self.record(
                request,
                form.instance,
                "add" if add else "change",
                reason=str(form.cleaned_data.get("reason") or form.cleaned_data.get("answer") or ""),
                before={} if add else {name: form.initial.get(name) for name in names},
                after={name: form.cleaned_data.get(name) for name in names},
            )
        return super().construct_change_message(request, form, formsets, add)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Write the fields that were edited, and none that changed after the row was read for this form."""
        if not change:
            super().save_model(request, obj, form, change)
            return
        stored = {field.name for field in obj._meta.concrete_fields}
        obj.save(update_fields=[name for name in form.changed_data if name in stored])

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        with transaction.atomic():
            self.record(request, obj, "delete", before=staff_acts.fields_of(obj))
            super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        with transaction.atomic():
            for row in queryset:
                self.record(request, row, "delete", before=staff_acts.fields_of(row))
            super().delete_queryset(request, queryset)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in self.get_autocomplete_fields(request):
            kwargs["widget"] = LabelledAutocomplete(db_field, self.admin_site)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

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
    """A read-only list. A field with a column of its own, such as `amount_`, is shown as that column."""

    actions = None

    def refusal(self, row: Any, name: str) -> str:
        """Why the action of this name is not possible on the row as it is now; empty: it is possible."""
        return ""

    def refused(self, request: HttpRequest, row: Any, name: str) -> HttpResponse | None:
        """The answer to an action that is not possible, which says why; None where it is possible."""
        if not (reason := self.refusal(row, name)):
            return None
        messages.error(request, reason)
        return redirect(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", row.pk)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[UnfoldAction]:
        """The actions that are possible on the row as it is now."""
        actions: list[UnfoldAction] = super().get_actions_detail(request, object_id)
        row = self.get_object(request, unquote(str(object_id))) if actions else None
        prefix = f"{self.opts.app_label}_{self.opts.model_name}_"
        return [
            action
            for action in actions
            if row is None or not self.refusal(row, action.action_name.removeprefix(prefix))
        ]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        names: list[str] = super().get_fields(request, obj)
        return [f"{name}_" if hasattr(self, f"{name}_") else name for name in names]


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
