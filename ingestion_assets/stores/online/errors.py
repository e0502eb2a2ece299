"""What can go wrong with Redis, said so that somebody can act on it."""

from __future__ import annotations

_REMEDIES = {
    "OOM": "Its memory is full: raise maxmemory, or shorten FEATURE_TTL_SEC",
    "READONLY": "It is a read-only replica: let REDIS_URL name the primary",
    "NOAUTH": "Put its password into REDIS_URL: redis://:password@host:6379/0",
    "WRONGPASS": "Correct user and password in REDIS_URL",
    "NOPERM": "Allow REDIS_URL's user these commands and the keys features:* and market:*",
    "LOADING": "It is starting: the next run will find it ready",
    "MASTERDOWN": "It has lost its primary: let REDIS_URL name the primary",
    "MISCONF": "It cannot save to its disk and refuses to write: free space there",
    "WRONGTYPE": "Another program keeps something else at this key: remove it, or use another database",
    "MOVED": "It is a cluster: let REDIS_URL name a single server",
}
_CONNECTING = "Start it, or correct REDIS_URL"


class OnlineError(Exception):
    """Redis did not do what was asked; says which server, at what, why, and the remedy."""

    def __init__(self, server: str, doing: str, cause: str, remedy: str) -> None:
        super().__init__(f"Redis {server}, {doing}: {cause}. {remedy}")
        self.server, self.doing, self.cause, self.remedy = server, doing, cause, remedy

    @property
    def of_server(self) -> bool:
        """Whether the next series would fail for the same reason."""
        return not self.cause.startswith(("WRONGTYPE", "other writers"))


def refused(server: str, doing: str, reply: object) -> OnlineError:
    """An error that the server itself gave as its answer."""
    text = str(reply).strip().rstrip(".")
    return OnlineError(server, doing, text, _REMEDIES.get(text.partition(" ")[0], _CONNECTING))


def unreachable(server: str, doing: str, error: BaseException, timeout: float) -> OnlineError:
    """No answer, or the connection broke."""
    silent = "timed out" in str(error).lower() or "timeout" in str(error).lower()
    if isinstance(error, (BlockingIOError, TimeoutError)) or silent:
        cause = f"no answer within {timeout:g} s"
        remedy = (
            "It is frozen, overloaded or out of reach: look at its log; the next run repairs what is missing"
        )
        return OnlineError(server, doing, cause, remedy)
    word = str(error).strip().partition(" ")[0].rstrip(".")
    cause = str(error).strip().rstrip(".") or type(error).__name__
    return OnlineError(server, doing, cause, _REMEDIES.get(word, _CONNECTING))
