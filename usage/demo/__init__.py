"""Demo data for the sandbox, and replaying traces of model calls over the API."""
