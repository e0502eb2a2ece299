"""Reading the settings, and how one that is wrong is told: by its name, its value and what to do.

What may hold a secret is never shown.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic import ValidationError

from ingestion_assets.settings.fields import Settings

_MAY_HOLD_SECRETS = ("fsspec_storage_options", "exchange_urls")


class SettingsError(ValueError):
    """A setting is wrong; the text names it, its value and what to do."""


def _private(field: str) -> bool:
    """Whether a field's value may hold a secret and is therefore never shown."""
    known = Settings.model_fields.get(field.lower())
    return known is None or "SecretStr" in str(known.annotation) or field.lower() in _MAY_HOLD_SECRETS


def _shown(value: Any) -> str:
    """The value, but for what stands before a host: it may be a user and password."""
    return re.sub(r"\S*@", "***@", str(value))[:120]


def load_settings(**overrides: Any) -> Settings:
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = []
        for e in error.errors():
            name = ".".join(str(part) for part in e["loc"]).upper()
            given = "" if not name or _private(str(e["loc"][0])) else f"={_shown(e['input'])!r}"
            lines.append(
                f"{name}{given}: {e['msg'].removeprefix('Value error, ')}"
                if name
                else e["msg"].removeprefix("Value error, ")
            )
        raise SettingsError("\n".join(lines)) from None
