"""Market data as partitioned Dagster assets: complete, fresh, explained, in a Parquet lake.

A vendor's answer becomes rows of a `Table`; a `Table` knows what must be true of itself;
Dagster decides when, stores decide where. Where to find what:

    tables/       contracts: columns, types, units, key, clock, promises
    intervals     half-open stretches of time: what is wanted, held, missing
    registry      series and strategies: what is ingested, how, since when
    settings/     the environment as one typed object
    sources/      in: one file per vendor and domain, fetch and normalise; feeds.py finds them
    stores/       kept: the lake (Parquet) and the catalog (SQL: registry, gap ledger, alerts)
    ingestion/    what to fetch, fetching it, landing it, auditing it; knows nothing of Dagster
    serving/      out: the HTTP API and the metrics
    features/     thought: pure functions, tables in, columns out
    workbench/    lake, registry, ledger and vendors made from the settings; what works, works with it
    seeds, logs   what is ingested from the start; log lines as JSON
    dagster_api/  Dagster's GraphQL API, for who steers it from outside
    assets/ computed partitions checks/ alerts automation/ resources io_managers/
                  Dagster's own nouns
    simulator/    the offline world: vendors on loopback, deterministic, with scripted faults
    embedded      servers from wheels for one machine without Docker
    definitions   where everything meets for Dagster; cli: where everything meets for a shell
"""
