"""REST API of usage. Endpoints check the caller, make one domain call and build the response."""
