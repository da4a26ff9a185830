"""What can go wrong with the embedded server, in words that say what to do."""


class EmbeddedError(RuntimeError):
    """The embedded PostgreSQL could not be used."""
