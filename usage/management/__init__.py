"""Management commands of usage."""
