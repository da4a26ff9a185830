"""Bodies, queries and answers of the REST endpoints, as the OpenAPI document shows them."""
