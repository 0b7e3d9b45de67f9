"""The sandbox's addresses; mounted by config.urls only where settings.SANDBOX is on."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
