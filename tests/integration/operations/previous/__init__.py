"""The code of an earlier release on the present schema."""
