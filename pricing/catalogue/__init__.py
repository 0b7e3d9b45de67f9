"""Catalogue files: format, validation, loading, and the cache that every process reads."""
