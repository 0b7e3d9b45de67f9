"""Pages of the admin that edit rate cards and offers."""
