"""Pages of the admin that add and change plans, packs and sales.

Invariant: a stale form changes nothing, and each change is recorded with what was and what is.
"""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from core.staff_admin import StaffAdmin
from pricing.catalogue import offers
from pricing.catalogue.file import CatalogueInvalid
from pricing.staff.offer_forms import FORMS


class OfferPages(StaffAdmin):
    """The admin of plans, packs and sales: Django's lists with forms of our own."""

    def changeform_view(
        self, request: HttpRequest, object_id: Any = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id) if object_id else None
        if object_id and row is None:
            raise Http404
        if row is None and not self.has_add_permission(request):
            raise PermissionDenied
        if row is not None and not self.has_change_permission(request, row):
            if request.method == "POST":
                raise PermissionDenied
            shown: HttpResponse = super().changeform_view(request, object_id, form_url, extra_context)
            return shown  # read-only
        form = FORMS[self.model](request.POST or None, row=row)
        if request.method == "POST" and form.is_valid():
            response = self._save(request, form, row)
            if response is not None:
                return response
        context = {
            **self.admin_site.each_context(request),
            "title": row or _("Add %(name)s") % {"name": self.opts.verbose_name},
            "form": form,
            "notes": self.notes(row),
            "opts": self.opts,
            "back": reverse(f"admin:pricing_{self.opts.model_name}_changelist"),
        }
        return TemplateResponse(request, "admin/pricing/offer.html", context)

    def notes(self, row: Any) -> list[str]:
        """What a change means for those who have the offer."""
        return []

    def _save(self, request: HttpRequest, form: Any, row: Any) -> HttpResponse | None:
        """Save and record; None when the form has errors now."""
        data = form.cleaned_data
        try:
            with transaction.atomic():
                saved = offers.save(
                    self.model,
                    row,
                    form.table()[0],
                    seen_as=data["seen"],
                    withdrawn=data.get("withdrawn", form.withdrawn),
                    now=timezone.now(),
                )
                before = {name: saved.before.get(name) for name in saved.after} if row else {}
                changed = {name: one for name, one in saved.after.items() if not row or before[name] != one}
                if changed:
                    old = {name: one for name, one in before.items() if name in changed}
                    self.record(request, saved.row, "change" if row else "add", before=old, after=changed)
        except offers.OfferInvalid as error:
            form.add_invalid(error)
            return None
        except CatalogueInvalid as error:
            form.add_error(None, str(error))
            return None
        except offers.OfferChanged as error:
            messages.error(request, str(error))
            return redirect(request.get_full_path())
        if changed:
            messages.success(request, _("%(name)s was saved.") % {"name": saved.row})
        else:
            messages.info(request, _("Nothing was changed."))
        return redirect(f"admin:pricing_{self.opts.model_name}_changelist")
