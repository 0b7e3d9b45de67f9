"""Tests of usage.dashboard."""
