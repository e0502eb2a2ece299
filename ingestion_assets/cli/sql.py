def sql() -> None:
    """Stub."""
