"""Tests of usage.views."""
