"""Errors as a shell sees them: one line on stderr that says what is wrong and what to do, and a code.

0   done
1   it was tried and did not work
2   the input is wrong; nothing was tried
130 interrupted
"""

from __future__ import annotations

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130


class BadInput(ValueError):
    """What was typed cannot be meant; the text names the field, the value and the remedy."""


class Failed(Exception):
    """What was asked for did not work out; the text says why and what may help."""


def code_of(error: Exception) -> int | None:
    """The exit code for an error of ours; None for one that nobody foresaw."""
    from ingestion_assets.dagster_api import DagsterError
    from ingestion_assets.embedded import ServerError

    if isinstance(error, (Failed, ServerError, DagsterError)):
        return FAILED
    if isinstance(error, ValueError):  # our SettingsError, RegistryError and BadInput are such
        return BAD_INPUT
    from ingestion_assets.sources.errors import NotFound, SourceError
    from ingestion_assets.stores.catalog import CatalogError
    from ingestion_assets.stores.objects import StoreError
    from ingestion_assets.stores.online import OnlineError

    if isinstance(error, NotFound):
        return BAD_INPUT
    if isinstance(error, (SourceError, StoreError, CatalogError, OnlineError, OSError)):
        return FAILED
    return None


def text_of(error: Exception) -> str:
    from ingestion_assets.sources.errors import SourceError

    text = str(error).strip() or type(error).__name__
    if isinstance(error, SourceError) or (isinstance(error, OSError) and not text):
        return f"{type(error).__name__}: {text}"
    return text
