"""This app's part of the REST API. Doors only: check the caller, call once, shape the answer."""
