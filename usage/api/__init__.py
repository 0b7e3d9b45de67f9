"""The REST API's addresses for what this app does. Doors only: check the caller, call once, shape the answer."""
