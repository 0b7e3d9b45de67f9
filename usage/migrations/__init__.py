"""Database migrations of usage."""
