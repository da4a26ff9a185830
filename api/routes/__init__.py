"""REST endpoints, one noun per module."""
