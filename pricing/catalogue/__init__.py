"""Catalogue files, rate cards and the cache that every process reads."""
