"""The project: settings, URLs, background work, health, and the supervisor that starts it."""

from config.celery import app as celery_app

__all__ = ["celery_app"]
