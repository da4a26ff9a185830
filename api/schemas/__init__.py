"""Request and response bodies, one noun per module."""
