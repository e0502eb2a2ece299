"""Every setting: one environment variable of the same name each, or a line of the `.env` in the root.

.env.example lists them all; a test compares the two. What is worked out from several of them stands below.
"""

from __future__ import annotations

from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ingestion_assets.settings.jobs import MarketJob, MarketJobs
from ingestion_assets.settings.other_names import polygon_is_massive, redis_in_parts
from ingestion_assets.settings.values import (
    LONGEST_TTL,
    AnyObject,
    Cron,
    LogLevel,
    Lowered,
    Origins,
    Place,
    SecretRedisAddress,
    SecretWebAddress,
    Timeframes,
    Ttls,
    Units,
    WebAddress,
    WebAddresses,
    Words,
    Zone,
)

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

ROOT = Path(__file__).resolve().parents[2]
# Days come once a day, and papers a day late: a window of an hour would mostly be empty.
_USUAL_TTL = {"onchain": 30 * 86_400, "news": 3 * 86_400, "social": 86_400}


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_file=ROOT / ".env", extra="ignore", env_ignore_empty=True, frozen=True
    )

    # Which world: the built-in simulator, or real exchanges with public data.
    profile: Annotated[Literal["simulator", "live"], Lowered] = "simulator"
    simulator_port: int = Field(8901, ge=1, le=65535)
    simulator_seed: int = 7

    # Where things are kept.
    ingest_state_dir: Path = ROOT / ".dagster"
    data_lake_path: Place = str(ROOT / "data_lake")
    market_path: Place | None = None
    fsspec_storage_options: AnyObject = {}
    aws_access_key_id: str | None = None
    aws_secret_access_key: SecretStr | None = None
    aws_session_token: SecretStr | None = None
    aws_default_region: str | None = None
    aws_endpoint_url: WebAddress | None = None
    google_application_credentials: str | None = None
    database_url: SecretStr | None = None
    redis_url: SecretRedisAddress | None = None
    redis_host: str | None = None
    redis_port: int = Field(6379, ge=1, le=65535)
    redis_password: SecretStr | None = None

    # Exchanges.
    exchange_name: str = "binance"
    exchange_api_key: SecretStr | None = None
    exchange_api_secret: SecretStr | None = None
    binance_url: WebAddress | None = None
    binance_fallback_url: WebAddress | None = None
    exchange_urls: WebAddresses = {}
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
    vendor_budgets: Units = {}

    # How texts are judged: by a lexicon, or by a model.
    ml_sentiment_enabled: bool = False
    sentiment_model_id: str = "distilbert-base-uncased-finetuned-sst-2-english"
    ml_max_workers: int = Field(4, ge=1, le=64)
    social_sentiment_enrich: bool = True

    # What is ingested from the start, from whom when it names nobody, and how far back.
    ingestion_markets: Words = ()
    ingestion_provider: Annotated[Literal["mock", "coingecko"], Lowered] | None = None
    ingestion_lookback_days: int = Field(30, ge=0)

    # Rhythm.
    sched_tz: Zone = "UTC"
    hot_cron: Cron = "*/5 * * * *"
    hot_5m_cron: Cron = "*/15 * * * *"
    market_jobs: MarketJobs = ()
    market_ingest_jobs: MarketJobs = ()
    ingestion_cron_expression: Cron | None = None
    backfill_enabled: bool = False
    backfill_exchange: str = "binance"
    backfill_symbols: Words = ("BTC/USDT",)
    backfill_timeframes: Timeframes = ("1m",)
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
    feature_ttl_overrides: Ttls = {}
    cache_ttl_seconds: int = Field(300, ge=1, le=LONGEST_TTL)
    redis_timeout_sec: float = Field(5.0, gt=0)
    ttl_sweep_enabled: bool = False
    ttl_sweep_interval_sec: int = Field(900, ge=60)
    ttl_sweep_cron: Cron | None = None
    ttl_sweep_pattern: str = "features:market:*"
    ttl_sweep_ttl: int = Field(3_600, ge=1, le=LONGEST_TTL)

    # Alerts and logs.
    alert_webhook_url: SecretWebAddress | None = None
    alert_min_severity: Annotated[Literal["info", "warning", "error", "critical"], Lowered] = "warning"
    alert_cooldown_min: int = Field(30, ge=0)
    log_level: LogLevel = "INFO"

    # The stack that `ingest up` starts.
    dagster_host: str = "127.0.0.1"
    dagster_port: int = Field(3000, ge=1, le=65535)
    dagster_url: WebAddress | None = None

    # The HTTP API.
    ingest_host: str = "127.0.0.1"
    ingest_port: int = Field(8000, ge=1, le=65535)
    api_base_url: WebAddress | None = None
    admin_token: SecretStr | None = None
    cron_secret: SecretStr | None = None
    cors_origins: Origins = ()
    api_wait_sec: float = Field(60.0, ge=0, le=600)
    api_max_body_kb: int = Field(64, ge=1)
    api_requests_per_sec: int = Field(1_000, ge=1)
    api_changes_per_min: int = Field(60, ge=1)
    metrics_max_series: int = Field(200, ge=1)
    sched_metrics_port: int | None = Field(None, ge=1, le=65535)

    @model_validator(mode="before")
    @classmethod
    def _under_other_names(cls, values: dict[str, Any]) -> dict[str, Any]:
        return redis_in_parts(polygon_is_massive(values))

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
    def market_provider(self) -> str:
        """Who gives markets in dollars that name nobody; invented prices belong to the invented world."""
        return self.ingestion_provider or ("mock" if self.profile == "simulator" else "coingecko")

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
        return _address(self.dagster_url, self.dagster_host, self.dagster_port)

    @cached_property
    def api_address(self) -> str:
        """Where the HTTP API is asked."""
        return _address(self.api_base_url, self.ingest_host, self.ingest_port)

    @cached_property
    def metrics_address(self) -> str | None:
        """Where the metrics are on a port of their own, if they are."""
        port = self.sched_metrics_port
        return None if port is None else f"{_address(None, self.ingest_host, port)}/metrics"

    @cached_property
    def all_market_jobs(self) -> tuple[MarketJob, ...]:
        return (*self.market_jobs, *self.market_ingest_jobs)


def _address(url: str | None, host: str, port: int) -> str:
    """The given one, or how a server that listens there is asked from this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104 told apart
    return url.rstrip("/") if url else f"http://{host}:{port}"
