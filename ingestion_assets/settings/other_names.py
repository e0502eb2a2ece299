"""Settings that say the same under other names or in parts, brought together before any value is read."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from pydantic import SecretStr


def polygon_is_massive(values: dict[str, Any]) -> dict[str, Any]:
    """One key under two names; of the vendor's files it is the secret half of the key, too."""
    key = values.get("polygon_api_key") or values.get("massive_api_key")
    if key:
        values = {"polygon_s3_secret_access_key": key} | values | {"polygon_api_key": key}
    return values


def redis_in_parts(values: dict[str, Any]) -> dict[str, Any]:
    """REDIS_HOST and its kin are REDIS_URL in parts; the whole goes before them.

    Without a host they are not for us: in compose they are the port and the password of its own Redis, and
    Kubernetes sets REDIS_PORT=tcp://… beside a service of that name.
    """
    host, password = values.get("redis_host"), values.get("redis_password")
    if not host:
        return {name: value for name, value in values.items() if name != "redis_port"}
    if values.get("redis_url"):
        return values
    secret = password.get_secret_value() if isinstance(password, SecretStr) else password
    before = f":{quote(secret, safe='')}@" if secret else ""
    name = f"[{host}]" if ":" in host else host
    return values | {"redis_url": f"redis://{before}{name}:{values.get('redis_port') or 6379}/0"}
