def explain() -> None:
    """Stub."""
