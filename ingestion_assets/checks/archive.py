"""Asset checks: what was landed from an archive's files is what is published there now.

Archives restate files without a word, but their checksums tell. Each look compares some files, those first
that were compared longest ago; what was restated is fetched again by automation/restated.py.
"""

import asyncio
from datetime import UTC, datetime

import dagster as dg
from pydantic import Field

from ingestion_assets.resources import WorkbenchResource
from ingestion_assets.sources.archives import Archive
from ingestion_assets.sources.errors import SourceError, VendorDown
from ingestion_assets.stores.archive_files import ArchiveFiles
from ingestion_assets.tables import FED, Table
from ingestion_assets.workbench import Workbench

LISTED = 20


class ArchiveCheckConfig(dg.Config):
    files: int = Field(100, gt=0, description="Compare the checksums of so many files.")


async def compare(bench: Workbench, kind: type[Archive], paths: list[str]) -> dict[str, str]:
    """Notes what is published of each file; those that could not be asked for, and why.

    An archive that does not answer for one file is not waited for again with each of the others.
    """
    unreachable: dict[str, str] = {}
    async with bench.vendor(kind) as archive:
        assert isinstance(archive, Archive)
        for place, path in enumerate(paths):
            try:
                published = await archive.checksum(path)
            except SourceError as error:
                why = f"{type(error).__name__}: {error}"
                if isinstance(error, VendorDown):
                    return unreachable | dict.fromkeys(paths[place:], why)
                unreachable[path] = why
                continue
            ArchiveFiles(bench.catalog).compared(kind.name, path, published, datetime.now(UTC))
    return unreachable


def _as_published_check(table: Table) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=table.path.split("/"),
        name="as_published",
        description="Files of the archive that rows came from are still what they were; restated ones are "
        "fetched again.",
    )
    def as_published(config: ArchiveCheckConfig, workbench: WorkbenchResource) -> dg.AssetCheckResult:
        bench, compared = workbench.open(), 0
        files = ArchiveFiles(bench.catalog)
        unreachable: dict[str, str] = {}
        for kind in archives_of(bench, table):
            paths = files.least_compared(table.path, kind.name, config.files)
            unreachable |= asyncio.run(compare(bench, kind, paths)) if paths else {}
            compared += len(paths)
        restated = {one.path: f"{one.series} {one.window}" for one in files.restated(table.path)}
        return dg.AssetCheckResult(
            passed=not restated and not unreachable,
            severity=dg.AssetCheckSeverity.WARN,
            description=(
                f"{len(restated)} files were restated and are to be fetched again, "
                f"{len(unreachable)} of {compared} could not be compared"
                if restated or unreachable
                else f"{compared} files are as they were"
            ),
            metadata={
                "compared": compared,
                "restated": dg.MetadataValue.json(dict(list(restated.items())[:LISTED])),
                "unreachable": dg.MetadataValue.json(dict(list(unreachable.items())[:LISTED])),
            },
        )

    return as_published


def archives_of(bench: Workbench, table: Table) -> list[type[Archive]]:
    every = (kind for kind in bench.vendors if issubclass(kind, Archive))
    return [kind for kind in every if any(one.table.path == table.path for one in kind.feeds)]


ARCHIVE_CHECKS = [_as_published_check(table) for table in FED.values() if table.domain == "derivatives"]
