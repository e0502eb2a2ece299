"""Kinds of values: how the text of a variable becomes one, and what is refused, with a remedy.

A kind says nothing of any one setting; which setting is of which kind stands in fields.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_settings import NoDecode

from ingestion_assets.intervals import canonical_timeframe

LONGEST_TTL = 20 * 365 * 86_400


def from_json(value: Any, kind: type, remedy: str) -> Any:
    """What a text says as JSON; a value that is no text was given by a program and is left as it is."""
    if not isinstance(value, str):
        return value
    try:
        parsed = json.loads(value)
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON ({error.msg} at character {error.pos}): write {remedy}") from None
    if not isinstance(parsed, kind):
        raise ValueError(f"is a {type(parsed).__name__}: write {remedy}")
    return parsed


def _object(value: Any) -> Any:
    return from_json(value, dict, "an object like {}")


def _words(value: Any) -> Any:
    if not isinstance(value, str) or value.strip().startswith("["):
        return from_json(value, list, "a list, or words with commas")
    return tuple(word.strip() for word in value.split(",") if word.strip())


def _lower(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


def _level(value: Any) -> Any:
    text = value.strip().upper() if isinstance(value, str) else value
    return {"WARN": "WARNING"}.get(text, text)


def _cron(value: str) -> str:
    from croniter import croniter

    if len(value.split()) != 5 or not croniter.is_valid(value):
        raise ValueError(f"{value!r} is not a cron expression: use five fields like */5 * * * *")
    return value


def _zone(value: str) -> str:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{value!r} is no time zone: use an IANA name like UTC or Europe/London") from None
    return value


def _web_address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("is no web address: write it like https://host or http://host:8080")
    return value


def _secret_web_address(value: SecretStr) -> SecretStr:
    _web_address(value.get_secret_value())
    return value


def _secret_redis_address(value: SecretStr) -> SecretStr:
    if urlsplit(value.get_secret_value()).scheme not in ("redis", "rediss", "unix"):
        raise ValueError("is no address of a Redis: write it like redis://host:6379/0")
    return value


def _web_addresses(value: dict[str, str]) -> dict[str, str]:
    for name, url in value.items():
        try:
            _web_address(url)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return value


def _origins(value: tuple[str, ...]) -> tuple[str, ...]:
    for origin in value:
        if origin != "*" and urlsplit(_web_address(origin)).path:
            raise ValueError(f"{origin!r} has a path: an origin is only https://host or http://host:8080")
    return value


def _timeframes(value: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(canonical_timeframe(one) for one in value)


def _units(value: dict[str, int]) -> dict[str, int]:
    for vendor, units in value.items():
        if units < 0:
            raise ValueError(f"{vendor}: {units} is below 0: write how many units may be spent")
    return value


def _ttls(value: dict[str, int]) -> dict[str, int]:
    for domain, seconds in value.items():
        if not 1 <= seconds <= LONGEST_TTL:
            raise ValueError(f"{domain}: {seconds} is not between 1 and {LONGEST_TTL} (20 years)")
    return value


def _place(value: str) -> str:
    parts = urlsplit(value)
    if "@" in parts.netloc:
        raise ValueError(
            "holds credentials: put them in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "and write s3://bucket/path"
        )
    if parts.scheme not in ("", "s3", "gs", "file"):
        raise ValueError("use an absolute folder, s3://bucket/path or gs://bucket/path")
    if parts.scheme == "" and not Path(value).expanduser().is_absolute():
        raise ValueError(f"is relative: write the absolute folder {Path(value).resolve()}")
    return value


Lowered = BeforeValidator(_lower)
LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_level)]
Timeframe = Annotated[str, AfterValidator(canonical_timeframe)]
Cron = Annotated[str, AfterValidator(_cron)]
Zone = Annotated[str, AfterValidator(_zone)]
Place = Annotated[str, AfterValidator(_place)]  # a folder or a bucket
WebAddress = Annotated[str, AfterValidator(_web_address)]
SecretWebAddress = Annotated[SecretStr, AfterValidator(_secret_web_address)]
SecretRedisAddress = Annotated[SecretStr, AfterValidator(_secret_redis_address)]

# Several at once: words with commas between them, or JSON.
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]
Timeframes = Annotated[Words, AfterValidator(_timeframes)]
Origins = Annotated[Words, AfterValidator(_origins)]
AnyObject = Annotated[dict[str, Any], NoDecode, BeforeValidator(_object)]
WebAddresses = Annotated[dict[str, str], NoDecode, BeforeValidator(_object), AfterValidator(_web_addresses)]
_Numbers = Annotated[dict[str, int], NoDecode, BeforeValidator(_object)]
Units = Annotated[_Numbers, AfterValidator(_units)]  # of a vendor's allowance, by its name
Ttls = Annotated[_Numbers, AfterValidator(_ttls)]  # seconds, by domain
