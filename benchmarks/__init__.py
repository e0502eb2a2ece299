"""What this project costs and how fast it is, beside a plain script and beside the limit of the machine.

`python -m benchmarks` (or `make bench`) runs everything on one machine, against one vendor on loopback,
and prints medians and the ratios against the targets. Only ratios of one run are meant to be compared:
seconds depend on the machine and on what else it does.

    vendor       a very cheap Binance-compatible vendor: a process with bodies rendered beforehand
    measure      a child process and what it cost: wall, CPU, peak memory; interleaved rounds, medians
    report       tables, and targets beside what was measured
    contenders/  one program each: plain ccxt + pandas, ours, ours through Dagster, the limit program
    api          the HTTP API: ranges of 1,000 rows and points, on one core
    backfill     candles from the vendor into Parquet files
    pace         how much of the vendor's weight limit a long job uses, and that nothing is rejected
    features     features, aggregates and statistics beside pandas, vectorbt, empyrical and one compiled loop
    gaps         gap detection beside the usual SQL on PostgreSQL and beside a bare NumPy diff
    online       the online feature store beside Feast, redis-py and bare RESP; online_million: with 1 M rows
    trades       a month of trades from the archive beside a bare unzip, and by the API beside ccxt + pandas
    tick         what one hot run over 50 series costs, and who spends it
"""
