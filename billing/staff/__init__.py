"""Admin classes of billing and the revenue report."""
