"""A series that was taken out stays away, whenever the registry's sensor comes in between."""

import pytest

from ingestion_assets.automation.sensors import DEPLOYMENT

SOL = "binance.SOL-USDT"


@pytest.fixture
def registered(world):
    world.tick("registry_sync")
    assert SOL in world.instance.get_dynamic_partitions("market")
    return world.bench.registry.require(SOL).series


def is_away(world):
    world.tick("registry_sync", DEPLOYMENT)
    known = {series.id for series in world.bench.registry.series()}
    return SOL not in known | set(world.instance.get_dynamic_partitions("market"))


def test_the_sensor_comes_between_partition_and_registry(world, registered):
    def drop():
        world.instance.delete_dynamic_partition("market", SOL)
        if world.bench.registry.get(SOL) is not None:
            world.tick("registry_sync", DEPLOYMENT)
            assert SOL in world.instance.get_dynamic_partitions("market"), "it was made again"

    world.bench.forget(registered, drop)
    assert is_away(world)


def test_the_sensor_comes_just_before_a_partition_goes(world, registered):
    def drop():
        world.tick("registry_sync", DEPLOYMENT)
        world.instance.delete_dynamic_partition("market", SOL)

    world.bench.forget(registered, drop)
    assert is_away(world)


def test_the_sensor_read_the_registry_before_and_makes_the_partition_after(world, registered, monkeypatch):
    world.instance.delete_dynamic_partition("market", SOL)
    really = world.instance.add_dynamic_partitions

    def late(domain, names):
        if SOL in names:
            world.bench.forget(registered, lambda: world.instance.delete_dynamic_partition("market", SOL))
        really(domain, names)

    monkeypatch.setattr(world.instance, "add_dynamic_partitions", late)
    world.tick("registry_sync", DEPLOYMENT)
    assert is_away(world)
