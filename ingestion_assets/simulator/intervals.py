"""Bar lengths, in minutes, and where their buckets begin. Weeks begin on Monday, UTC."""

MINUTE_MS = 60_000

MINUTES = {
    "1m": 1,
    "3m": 3,
    "5m": 5,
    "15m": 15,
    "30m": 30,
    "1h": 60,
    "2h": 120,
    "4h": 240,
    "6h": 360,
    "8h": 480,
    "12h": 720,
    "1d": 1440,
    "3d": 4320,
    "1w": 10080,
}

_FIRST_MONDAY = 4 * 1440
"""1970-01-01 was a Thursday."""


def origin(minutes: int) -> int:
    """The minute since 1970 at which the buckets of this length are counted from."""
    return _FIRST_MONDAY if minutes == MINUTES["1w"] else 0


def bucket(minute: int, minutes: int) -> int:
    """The number of the bucket that holds this minute."""
    return (minute - origin(minutes)) // minutes


def bucket_start(number: int, minutes: int) -> int:
    """The first minute of a bucket."""
    return number * minutes + origin(minutes)
