"""The environment as one typed object. Nobody else reads os.environ.

Every field is one environment variable of the same name, or a line of the `.env` in the project's root,
and .env.example lists them all; a test compares the two. Values that are wrong are refused here, with the
field and a remedy.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from ingestion_assets.intervals import TIMEFRAMES, canonical_timeframe
from ingestion_assets.registry import series_id

_MAY_HOLD_SECRETS = ("fsspec_storage_options", "exchange_urls")

# What the built-in simulator stands in for.
SIMULATED = (
    "binance",
    "kraken",
    "binance_usdm",
    "binance_vision",
    "polygon",
    "polygon_files",
    "coingecko",
    "mock",
    "newsapi",
    "rss",
    "glassnode",
    "covalent",
    "x",
    "reddit",
)

ROOT = Path(__file__).resolve().parent.parent
LONGEST_TTL = 20 * 365 * 86_400
# Days come once a day, and papers a day late: a window of an hour would mostly be empty.
_USUAL_TTL = {"onchain": 30 * 86_400, "news": 3 * 86_400, "social": 86_400}


class SettingsError(ValueError):
    """A setting is wrong; the text names it, its value and what to do."""


class MarketJob(BaseModel):
    """One entry of MARKET_JOBS or MARKET_INGEST_JOBS: a market, a timeframe, a rhythm, a reach."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    exchange: str
    symbol: str
    timeframe: str = "1m"
    cron: str
    lookback_minutes: int | None = Field(default=None, gt=0)
    limit: int | None = Field(default=None, gt=0)

    @field_validator("timeframe")
    @classmethod
    def _timeframe(cls, value: str) -> str:
        return canonical_timeframe(value)

    @field_validator("cron")
    @classmethod
    def _cron(cls, value: str) -> str:
        return check_cron(value)

    @property
    def series(self) -> str:
        return series_id(self.exchange, self.symbol)

    def window_minutes(self, default: int) -> int:
        if self.limit is not None:
            return int(self.limit * TIMEFRAMES[self.timeframe].total_seconds() // 60)
        return self.lookback_minutes or default


def check_cron(value: str) -> str:
    from croniter import croniter

    if len(value.split()) != 5 or not croniter.is_valid(value):
        raise ValueError(f"{value!r} is not a cron expression: use five fields like */5 * * * *")
    return value


def check_web_address(value: str) -> None:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("is no web address: write it like https://host or http://host:8080")


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_file=ROOT / ".env", extra="ignore", env_ignore_empty=True, frozen=True
    )

    # Which world: the built-in simulator, or real exchanges with public data.
    profile: Literal["simulator", "live"] = "simulator"
    simulator_port: int = Field(8901, ge=1, le=65535)
    simulator_seed: int = 7

    # Where things are kept.
    ingest_state_dir: Path = ROOT / ".dagster"
    data_lake_path: str = str(ROOT / "data_lake")
    market_path: str | None = None
    fsspec_storage_options: Annotated[dict[str, Any], NoDecode] = {}
    aws_access_key_id: str | None = None
    aws_secret_access_key: SecretStr | None = None
    aws_session_token: SecretStr | None = None
    aws_default_region: str | None = None
    aws_endpoint_url: str | None = None
    google_application_credentials: str | None = None
    database_url: SecretStr | None = None
    redis_url: SecretStr | None = None

    # Exchanges.
    exchange_name: str = "binance"
    exchange_api_key: SecretStr | None = None
    exchange_api_secret: SecretStr | None = None
    binance_url: str | None = None
    binance_fallback_url: str | None = None
    exchange_urls: Annotated[dict[str, str], NoDecode] = {}
    http_timeout_sec: float = Field(30.0, gt=0)
    http_attempts: int = Field(5, ge=1)
    http_concurrency: int = Field(8, ge=1, le=64)
    settle_seconds: int = Field(5, ge=0)

    # Vendors that need a key; the first has two names, the vendor's old one and its new one.
    polygon_api_key: SecretStr | None = None
    massive_api_key: SecretStr | None = None
    polygon_s3_access_key_id: SecretStr | None = None
    polygon_s3_secret_access_key: SecretStr | None = None
    coingecko_api_key: SecretStr | None = None
    news_api_key: SecretStr | None = None
    glassnode_api_key: SecretStr | None = None
    covalent_api_key: SecretStr | None = None
    twitter_bearer_token: SecretStr | None = None
    reddit_client_id: SecretStr | None = None
    reddit_client_secret: SecretStr | None = None

    # What may be spent: on X in dollars a day, with the others in their own units, by the vendor's name.
    x_spend_per_day_usd: Decimal = Field(Decimal(5), ge=0)
    x_post_price_usd: Decimal = Field(Decimal("0.005"), gt=0)
    vendor_budgets: Annotated[dict[str, int], NoDecode] = {}

    # How texts are judged: by a lexicon, or by a model.
    ml_sentiment_enabled: bool = False
    sentiment_model_id: str = "distilbert-base-uncased-finetuned-sst-2-english"
    ml_max_workers: int = Field(4, ge=1, le=64)
    social_sentiment_enrich: bool = True

    # What is ingested from the start, and how far back.
    ingestion_markets: Annotated[tuple[str, ...], NoDecode] = ()
    ingestion_lookback_days: int = Field(30, ge=0)

    # Rhythm.
    sched_tz: str = "UTC"
    hot_cron: str = "*/5 * * * *"
    hot_5m_cron: str = "*/15 * * * *"
    market_jobs: Annotated[tuple[MarketJob, ...], NoDecode] = ()
    market_ingest_jobs: Annotated[tuple[MarketJob, ...], NoDecode] = ()
    ingestion_cron_expression: str | None = None
    backfill_enabled: bool = False
    backfill_exchange: str = "binance"
    backfill_symbols: Annotated[tuple[str, ...], NoDecode] = ("BTC/USDT",)
    backfill_timeframes: Annotated[tuple[str, ...], NoDecode] = ("1m",)
    backfill_lookback_min: int = Field(15, gt=0)
    backfill_interval_sec: int = Field(300, ge=60)
    run_on_start: bool = True
    sensor_interval_sec: int = Field(30, ge=5)

    # Healing and freshness.
    heal_partitions_per_tick: int = Field(24, ge=1)
    heal_max_attempts: int = Field(8, ge=1)
    freshness_minutes: int = Field(15, ge=1)
    housekeeping_days: int = Field(30, ge=1)

    # The online feature store: how long rows stay, how soon Redis must answer, who looks after its keys.
    feature_ttl_sec: int = Field(3_600, ge=1, le=LONGEST_TTL)
    feature_ttl_overrides: Annotated[dict[str, int], NoDecode] = {}
    cache_ttl_seconds: int = Field(300, ge=1, le=LONGEST_TTL)
    redis_timeout_sec: float = Field(5.0, gt=0)
    ttl_sweep_enabled: bool = False
    ttl_sweep_interval_sec: int = Field(900, ge=60)
    ttl_sweep_cron: str | None = None
    ttl_sweep_pattern: str = "features:market:*"
    ttl_sweep_ttl: int = Field(3_600, ge=1, le=LONGEST_TTL)

    # Alerts and logs.
    alert_webhook_url: SecretStr | None = None
    alert_min_severity: Literal["info", "warning", "error", "critical"] = "warning"
    alert_cooldown_min: int = Field(30, ge=0)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    # The stack that `ingest up` starts.
    dagster_host: str = "127.0.0.1"
    dagster_port: int = Field(3000, ge=1, le=65535)
    dagster_url: str | None = None

    # The HTTP API.
    ingest_host: str = "127.0.0.1"
    ingest_port: int = Field(8000, ge=1, le=65535)
    api_base_url: str | None = None
    admin_token: SecretStr | None = None
    cron_secret: SecretStr | None = None
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    api_wait_sec: float = Field(60.0, ge=0, le=600)
    api_max_body_kb: int = Field(64, ge=1)
    api_requests_per_sec: int = Field(1_000, ge=1)
    api_changes_per_min: int = Field(60, ge=1)
    metrics_max_series: int = Field(200, ge=1)
    sched_metrics_port: int | None = Field(None, ge=1, le=65535)

    @field_validator("profile", "alert_min_severity", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.strip().lower() if isinstance(value, str) else value

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        text = value.strip().upper() if isinstance(value, str) else value
        return {"WARN": "WARNING"}.get(text, text)

    @field_validator(
        "ingestion_markets", "backfill_symbols", "backfill_timeframes", "cors_origins", mode="before"
    )
    @classmethod
    def _listed(cls, value: Any) -> Any:
        """A JSON list or words separated by commas."""
        if not isinstance(value, str):
            return value
        if value.strip().startswith("["):
            try:
                return json.loads(value)
            except json.JSONDecodeError as error:
                raise ValueError(
                    f"is not JSON ({error.msg} at character {error.pos}): write a list, or words with commas"
                ) from None
        return tuple(word.strip() for word in value.split(",") if word.strip())

    @field_validator("backfill_timeframes")
    @classmethod
    def _timeframes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(canonical_timeframe(v) for v in value)

    @field_validator(
        "fsspec_storage_options", "exchange_urls", "feature_ttl_overrides", "vendor_budgets", mode="before"
    )
    @classmethod
    def _json_object(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            parsed = json.loads(value)
        except json.JSONDecodeError as error:
            raise ValueError(
                f"is not JSON ({error.msg} at character {error.pos}): write an object like {{}}"
            ) from None
        if not isinstance(parsed, dict):
            raise ValueError(f"is a {type(parsed).__name__}: write a JSON object")
        return parsed

    @field_validator("market_jobs", "market_ingest_jobs", mode="before")
    @classmethod
    def _jobs(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            parsed = json.loads(value)
        except json.JSONDecodeError as error:
            raise ValueError(
                f"is not JSON ({error.msg} at character {error.pos}): write a list of objects"
            ) from None
        if not isinstance(parsed, list):
            raise ValueError(f"is a {type(parsed).__name__}: write a JSON list of objects")
        jobs = []
        for number, entry in enumerate(parsed, start=1):
            try:
                job = MarketJob.model_validate(entry)
                _ = job.series
            except ValidationError as error:
                problems = "; ".join(
                    f"{'.'.join(map(str, e['loc'])) or 'entry'}: {e['msg']}" for e in error.errors()
                )
                raise ValueError(f"entry {number} ({json.dumps(entry)}): {problems}") from None
            except ValueError as error:
                raise ValueError(f"entry {number} ({json.dumps(entry)}): {error}") from None
            jobs.append(job)
        return tuple(jobs)

    @field_validator("vendor_budgets")
    @classmethod
    def _not_negative(cls, value: dict[str, int]) -> dict[str, int]:
        for vendor, units in value.items():
            if units < 0:
                raise ValueError(f"{vendor}: {units} is below 0: write how many units may be spent")
        return value

    @field_validator("feature_ttl_overrides")
    @classmethod
    def _ttls(cls, value: dict[str, int]) -> dict[str, int]:
        for domain, seconds in value.items():
            if not 1 <= seconds <= LONGEST_TTL:
                raise ValueError(f"{domain}: {seconds} is not between 1 and {LONGEST_TTL} (20 years)")
        return value

    @field_validator("hot_cron", "hot_5m_cron", "ingestion_cron_expression", "ttl_sweep_cron")
    @classmethod
    def _cron(cls, value: str | None) -> str | None:
        return None if value is None else check_cron(value)

    @field_validator("sched_tz")
    @classmethod
    def _zone(cls, value: str) -> str:
        from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(
                f"{value!r} is no time zone: use an IANA name like UTC or Europe/London"
            ) from None
        return value

    @field_validator(
        "binance_url",
        "binance_fallback_url",
        "aws_endpoint_url",
        "alert_webhook_url",
        "dagster_url",
        "api_base_url",
    )
    @classmethod
    def _web_address(cls, value: Any) -> Any:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if text is not None:
            check_web_address(text)
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if origin == "*":
                continue
            check_web_address(origin)
            if urlsplit(origin).path:
                raise ValueError(f"{origin!r} has a path: an origin is only https://host or http://host:8080")
        return value

    @field_validator("exchange_urls")
    @classmethod
    def _web_addresses(cls, value: dict[str, str]) -> dict[str, str]:
        for name, url in value.items():
            try:
                check_web_address(url)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        return value

    @model_validator(mode="before")
    @classmethod
    def _polygon_is_massive(cls, values: dict[str, Any]) -> dict[str, Any]:
        """One key under two names; of the vendor's files it is the secret half of the key, too."""
        key = values.get("polygon_api_key") or values.get("massive_api_key")
        if key:
            values = {"polygon_s3_secret_access_key": key} | values | {"polygon_api_key": key}
        return values

    @model_validator(mode="after")
    def _paths(self) -> Self:
        for name in ("data_lake_path", "market_path"):
            value = getattr(self, name)
            if value is None:
                continue
            if "@" in urlsplit(value).netloc:
                raise ValueError(
                    f"{name.upper()} holds credentials: put them in AWS_ACCESS_KEY_ID and "
                    "AWS_SECRET_ACCESS_KEY, and write s3://bucket/path"
                )
            scheme = urlsplit(value).scheme
            if scheme not in ("", "s3", "gs", "file"):
                raise ValueError(
                    f"{name.upper()}={value!r}: use an absolute folder, s3://bucket/path or gs://bucket/path"
                )
            if scheme == "" and not Path(value).expanduser().is_absolute():
                raise ValueError(
                    f"{name.upper()}={value!r} is relative: write the absolute folder {Path(value).resolve()}"
                )
        return self

    @cached_property
    def catalog_url(self) -> str:
        """Where registry and gap ledger live: PostgreSQL when DATABASE_URL is set, a file otherwise."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.ingest_state_dir.expanduser().resolve() / 'catalog.sqlite'}"

    def budget(self, vendor: str, usual: int | None) -> int | None:
        """How many units may be spent with a vendor in one of its periods; None: as many as needed."""
        if vendor == "x" and vendor not in self.vendor_budgets:
            return int(self.x_spend_per_day_usd / self.x_post_price_usd)
        return self.vendor_budgets.get(vendor, usual)

    @cached_property
    def vendor_urls(self) -> dict[str, str]:
        """Base URL by exchange or vendor, for those that do not answer at their own public address."""
        simulated = f"http://127.0.0.1:{self.simulator_port}"
        urls = dict.fromkeys(SIMULATED if self.profile == "simulator" else ("mock",), simulated)
        if self.binance_url:
            urls["binance"] = self.binance_url.rstrip("/")
        return urls | {name.lower(): url.rstrip("/") for name, url in self.exchange_urls.items()}

    def feature_ttl(self, domain: str) -> int:
        """Seconds that a domain's rows stay in the online store after the end of their bar."""
        usual = max(self.feature_ttl_sec, _USUAL_TTL.get(domain, 0))
        return self.feature_ttl_overrides.get(domain, usual)

    @cached_property
    def dagster_address(self) -> str:
        """Where Dagster's webserver is asked."""
        return (
            self.dagster_url.rstrip("/")
            if self.dagster_url
            else _address(self.dagster_host, self.dagster_port)
        )

    @cached_property
    def api_address(self) -> str:
        """Where the HTTP API is asked."""
        return (
            self.api_base_url.rstrip("/")
            if self.api_base_url
            else _address(self.ingest_host, self.ingest_port)
        )

    @cached_property
    def all_market_jobs(self) -> tuple[MarketJob, ...]:
        return (*self.market_jobs, *self.market_ingest_jobs)


def _address(host: str, port: int) -> str:
    """How a server that listens there is asked from this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104 told apart
    return f"http://{host}:{port}"


def _private(field: str) -> bool:
    """Whether a field's value may hold a secret and is therefore never shown."""
    known = Settings.model_fields.get(field.lower())
    return known is None or "SecretStr" in str(known.annotation) or field.lower() in _MAY_HOLD_SECRETS


def _shown(value: Any) -> str:
    """The value, but for a user and password before a host."""
    return re.sub(r"[^/@\s]*:[^/@\s]*@", "***@", str(value))[:120]


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
