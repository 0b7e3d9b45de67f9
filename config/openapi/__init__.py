"""The OpenAPI document: generated from the endpoints, with recorded examples, and served."""
