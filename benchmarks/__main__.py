"""`python -m benchmarks`: all of them, or those named; tables on the screen, JSON in benchmarks/results/."""

from __future__ import annotations

import argparse
import importlib
import time

from benchmarks import report

ALL = ("gaps", "features", "online", "api", "tick", "pace", "trades", "backfill")
ASKED_FOR = ("online_million",)  # takes long, and says little more


def main() -> None:
    every = (*ALL, *ASKED_FOR)
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", action="append", choices=every, metavar="NAME", help=f"one of {', '.join(every)}"
    )
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="interleaved rounds (3)")
    parser.add_argument(
        "--quick", action="store_true", help="smaller jobs: to see that it works, not to quote"
    )
    given = parser.parse_args()
    if given.rounds < 1:
        parser.error(f"--rounds {given.rounds}: at least 1")
    lines = []
    for name in given.only or ALL:
        started = time.monotonic()
        figures, targets = importlib.import_module(f"benchmarks.{name}").measure(
            rounds=given.rounds, quick=given.quick
        )
        report.targets(name, targets)
        report.note(f"{name} took {time.monotonic() - started:.0f} s\n")
        report.keep(name, figures, targets)
        lines += targets
    missed = [line for line in lines if line.met is False]
    report.note(f"{sum(bool(line.met) for line in lines)} of {len(lines)} targets met, {len(missed)} missed")


if __name__ == "__main__":
    main()
