"""URLs of the public price pages."""

from django.urls import path

from pricing import views

urlpatterns = [
    path("pricing/", views.price_list, name="services"),
    path("pricing/compare/", views.compare, name="compare"),
    path("pricing/estimate/", views.estimate, name="estimate"),
    path("pricing/<str:key>/", views.service, name="service"),
]
