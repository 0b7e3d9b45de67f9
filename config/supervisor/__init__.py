"""The supervisor of `make run`: the embedded PostgreSQL and the processes of the Procfile."""
