"""What of a web address anybody may see: publishers write their readers' tokens into it."""

from __future__ import annotations

import re
from typing import Any

HIDDEN = "…"
_ADDRESS = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]*://[^\s\"'<>]+")
_WHO = re.compile(r"://[^/]*@")


def without_secrets(value: Any) -> Any:
    """The same, with user, password and what the query's parameters are left out of each address in it."""
    if isinstance(value, dict):
        return type(value)((name, without_secrets(part)) for name, part in value.items())
    if isinstance(value, list):
        return type(value)(without_secrets(part) for part in value)
    return _ADDRESS.sub(lambda found: _shown(found[0]), value) if isinstance(value, str) else value


def _shown(address: str) -> str:
    place, mark, query = address.partition("?")
    place = _WHO.sub(f"://{HIDDEN}@", place.partition("#")[0])
    if not mark:
        return place
    return f"{place}?" + "&".join(map(_parameter, query.split("&")))


def _parameter(text: str) -> str:
    """Its name stays; what has no value may itself be a token, that ends with `=` as base64 does."""
    name, _, value = text.partition("=")
    return f"{name}={HIDDEN}" if value.strip("=") else HIDDEN
