"""Codes for one use of a promotion: made and downloaded on one page, imported on another.

Invariants: the rules are in `billing.promotions.single_use_codes`; a form that is sent twice makes codes
once, by its token; the audit log has how many codes were made, imported or downloaded, and no code.
"""

import csv
from typing import Any
from uuid import UUID, uuid4

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextareaWidget

from accounts.models import User
from billing.models import Promotion
from billing.promotions import single_use_codes
from core import staff_acts

SEE, ADD = "billing.view_singleusecode", "billing.add_singleusecode"
_LARGEST_FILE = 1024 * 1024
_MOST_SHOWN = 500


class MakeCodesForm(forms.Form):
    """How many codes to make."""

    number = forms.IntegerField(
        label=gettext_lazy("Number of codes"),
        min_value=1,
        max_value=single_use_codes.MOST_AT_ONCE,
        widget=UnfoldAdminIntegerFieldWidget,
    )
    token = forms.UUIDField(widget=forms.HiddenInput)


class ImportCodesForm(forms.Form):
    """Codes of a file, or pasted."""

    file = forms.FileField(
        label=gettext_lazy("CSV file"),
        required=False,
        allow_empty_file=True,
        help_text=gettext_lazy("One column of codes, or a column named “code”. At most 10,000 codes."),
    )
    codes = forms.CharField(
        label=gettext_lazy("Codes"),
        required=False,
        max_length=_LARGEST_FILE,
        strip=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 8, "spellcheck": "false"}),
        help_text=gettext_lazy("One in each line. A chosen file replaces them."),
    )

    def clean_file(self) -> str | None:
        file = self.cleaned_data["file"]
        if not file:
            return None
        if file.size > _LARGEST_FILE:
            raise forms.ValidationError(_("The file is larger than 1 MB."))
        try:
            text: str = file.read().decode("utf-8-sig")
        except UnicodeDecodeError:
            raise forms.ValidationError(_("The file is not text in UTF-8. Save it as CSV UTF-8.")) from None
        if "\0" in text:
            raise forms.ValidationError(_("The file is not text in UTF-8. Save it as CSV UTF-8."))
        return text

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("file") is not None:
            data["codes"] = data["file"]
        elif "file" in data and not (data.get("codes") or "").strip():
            self.add_error("codes", _("Choose a file, or enter codes."))
        return data


def page(request: HttpRequest, promotion: Promotion, context: dict[str, Any]) -> HttpResponse:
    """How many codes there are; POST makes codes or downloads all. The caller has checked SEE."""
    user = request.user
    assert isinstance(user, User)
    if request.method == "POST" and request.POST.get("choice") == "download":
        return _download(promotion, user)
    may_add = user.has_perm(ADD)
    form = MakeCodesForm(request.POST or None, initial={"number": 100, "token": uuid4()})
    if request.method == "POST":
        if not may_add:
            raise PermissionDenied
        if form.is_valid() and _make(request, promotion, form, user):
            return redirect("admin:billing_promotion_codes", promotion.pk)
    numbers = single_use_codes.numbers(promotion)
    context |= {
        "title": _("Codes for one use of %(code)s") % {"code": promotion.code},
        "lines": [
            _("Codes: %(made)s. Used: %(used)s.")
            % {"made": number_format(numbers.made), "used": number_format(numbers.used)},
            *([] if promotion.single_use else [_("Choose “codes for one use” on the promotion first.")]),
        ],
        "form": form if may_add and promotion.single_use else None,
        "downloads": numbers.made > 0,
        "back": reverse("admin:billing_promotion_change", args=[promotion.pk]),
    }
    return render(request, "admin/billing/promotion_codes.html", context)


def _make(request: HttpRequest, promotion: Promotion, form: MakeCodesForm, user: User) -> bool:
    """Make the codes. False when the form has an error."""
    number, batch, now = form.cleaned_data["number"], UUID(str(form.cleaned_data["token"])), timezone.now()
    try:
        with transaction.atomic():
            made = len(single_use_codes.make(promotion, number=number, batch=batch, now=now))
            staff_acts.record(
                actor_id=user.pk,
                act="promotion.make_codes",
                subject=promotion,
                after={"codes": made},
                now=now,
            )
    except single_use_codes.CodesRefused as error:
        form.add_error(None, str(error))
        return False
    messages.success(request, _("Codes made: %(number)s.") % {"number": number_format(made)})
    return True


def _download(promotion: Promotion, user: User) -> HttpResponse:
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="promotion-{promotion.pk}-codes.csv"'
    with transaction.atomic():
        csv.writer(response).writerows(single_use_codes.rows(promotion))
        staff_acts.record(
            actor_id=user.pk, act="promotion.download_codes", subject=promotion, now=timezone.now()
        )
    return response


def import_page(request: HttpRequest, promotion: Promotion, context: dict[str, Any]) -> HttpResponse:
    """Check a file of codes line by line, and import it. The caller has checked ADD."""
    user = request.user
    assert isinstance(user, User)
    form = ImportCodesForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        text = form.cleaned_data["codes"]
        form = ImportCodesForm({"codes": text})  # which keeps the codes of a file for the import
        try:
            context |= _checked(single_use_codes.check(text))
            if request.POST.get("choice") == "import":
                added = _import(promotion, text, user)
                messages.success(request, _("Codes imported: %(number)s.") % {"number": number_format(added)})
                return redirect("admin:billing_promotion_change", promotion.pk)
        except single_use_codes.CodesRefused as error:
            form.add_error(None, str(error))
    context |= {
        "title": _("Import codes for one use of %(code)s") % {"code": promotion.code},
        "form": form,
        "back": reverse("admin:billing_promotion_change", args=[promotion.pk]),
    }
    return render(request, "admin/billing/import_codes.html", context)


def _checked(lines: list[single_use_codes.Line]) -> dict[str, Any]:
    faults = [line for line in lines if line.fault]
    counts = {"lines": number_format(len(lines)), "faults": number_format(len(faults))}
    return {
        "summary": _("Lines with a code: %(lines)s. With a fault: %(faults)s.") % counts,
        "faults": faults[:_MOST_SHOWN],
        "more": max(0, len(faults) - _MOST_SHOWN),
    }


def _import(promotion: Promotion, text: str, user: User) -> int:
    now = timezone.now()
    with transaction.atomic():
        added = single_use_codes.add(promotion, text, batch=uuid4(), now=now)
        staff_acts.record(
            actor_id=user.pk, act="promotion.import_codes", subject=promotion, after={"codes": added}, now=now
        )
    return added
