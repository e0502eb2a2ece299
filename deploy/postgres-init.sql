-- Run once, on an empty volume. POSTGRES_DB is our catalog; Dagster keeps its own tables apart from it.
create database dagster;
