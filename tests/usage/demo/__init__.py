"""Tests of usage.demo."""
