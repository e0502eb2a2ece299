"""OUT: the HTTP API, what it shows of the stores, and the metrics. Runs are started only through Dagster.

app         everything put together; `ingest api` serves it
security    who may change things, how much anybody may ask
parameters  what people write in a URL, made exact: symbols, timeframes, times
problems    errors as answers: one shape, a text that names the remedy
reading     rows of features from Redis or the lake
launching   runs of Dagster, started and waited for
metrics     the Prometheus registry, and what is looked up for it
docs.html   `/docs`, without anything from the internet
routes/     the addresses, in groups
"""
