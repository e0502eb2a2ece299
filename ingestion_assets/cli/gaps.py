def gaps() -> None:
    """Stub."""
