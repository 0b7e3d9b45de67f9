"""Tests of usage.charges."""
