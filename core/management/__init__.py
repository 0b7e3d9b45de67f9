"""Management commands: the roles of the database."""
