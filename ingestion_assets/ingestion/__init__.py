"""Ingesting: what to fetch (plan), fetching it (fetch), landing it (land). Knows nothing of Dagster.

The unit of work is a slice: one month of one series, or a part of it. Slices are worked on side by
side under each venue's budget; what goes wrong with one series is its own affair.
"""

from ingestion_assets.ingestion.fetch import fetch
from ingestion_assets.ingestion.fetched import Fetched
from ingestion_assets.ingestion.land import land, land_computed
from ingestion_assets.ingestion.landed import Landed, summary, unlanded
from ingestion_assets.ingestion.plan import Offer, Options, Plan, Slice, offer_of, plan_slice, slices_of

__all__ = [
    "Fetched",
    "Landed",
    "Offer",
    "Options",
    "Plan",
    "Slice",
    "fetch",
    "land",
    "land_computed",
    "offer_of",
    "plan_slice",
    "slices_of",
    "summary",
    "unlanded",
]
