"""The workbench that assets share: made once, when it is needed, as the environment says."""

import pytest

from ingestion_assets import resources
from ingestion_assets.resources import WorkbenchResource
from ingestion_assets.settings import SettingsError
from ingestion_assets.stores.catalog import CatalogError


def test_one_for_all_who_ask(world):
    assert WorkbenchResource().open() is WorkbenchResource().open() is resources.workbench()
    assert world.bench.settings.data_lake_path == str(world.folder / "lake")


def test_makes_the_catalog_and_nothing_else(world):
    assert world.bench.registry.series() == []
    assert (world.folder / "state" / "catalog.sqlite").exists()
    assert not (world.folder / "lake").exists()


def test_a_catalog_that_cannot_be_made_says_what_to_do_and_is_tried_again(world):
    state = world.folder / "state"
    state.write_text("a file where the folder should be")
    with pytest.raises(CatalogError, match="INGEST_STATE_DIR"):
        WorkbenchResource().open()
    state.unlink()
    assert WorkbenchResource().open().registry.series() == []


def test_a_wrong_setting_is_named(world):
    world.setenv(HTTP_CONCURRENCY="many")
    with pytest.raises(SettingsError, match="HTTP_CONCURRENCY='many'"):
        WorkbenchResource().open()
