"""`hive simulate faults`: what hive promises, held against seeds in which everything goes wrong.

It must not know what goes wrong, or what is promised.
"""

from __future__ import annotations

import json as json_text
import os
import sys
from collections.abc import Mapping

from hive.simulation.campaign import Report, campaign
from hive.simulation.life import Outcome

__all__ = ["main"]


def main(seeds: range, json: bool) -> int:
    """Run the seeds, and show what became of them; 1 if a promise was broken, or a seed's second run differed."""
    shown = sys.stderr.isatty()

    def told(outcome: Outcome) -> None:
        if outcome.broken is not None:
            promise, what = outcome.broken
            print(f"seed {outcome.seed} breaks {promise}: {what}", file=sys.stderr)
        elif shown:
            print(f"\rseed {outcome.seed} of {seeds[-1]}", end="", file=sys.stderr, flush=True)

    report = campaign(seeds, os.cpu_count() or 1, told)
    if shown:
        print("\r", end="", file=sys.stderr)
    if json:
        print(json_text.dumps(report.to_json(), indent=1))
    else:
        show(report)
    return 1 if report.violations or report.differed else 0


def show(report: Report) -> None:
    """For people."""
    for violation in report.violations:
        print(violation)
    hours = f"{report.virtual_s / 3600:,.1f} virtual hours in {report.wall_s:,.0f} s"
    print(f"{report.seeds:,} seeds, {hours}: {len(report.violations)} promises broken")
    print(
        f"{report.repeated} seeds run twice, in two processes: {len(report.differed)} differed {report.differed or ''}"
    )
    print("\nWhat went wrong, and in how many seeds:")
    columns({kind: f"{count:,} in {report.hit[kind]:,}" for kind, count in sorted(report.faults.items())})
    print("\nMessages delivered, by whom they reached in which state:")
    for kind, states in report.coverage.items():
        print(f"  {kind:<16}" + ", ".join(f"{state} {count:,}" for state, count in states.items()))
    print("\nNot delivered:")
    columns({f"{kind} to {state}": why or "no reason is known" for (kind, state), why in report.unreached.items()})


def columns(words: Mapping[str, str]) -> None:
    """Names and what is said of them."""
    width = max(map(len, words), default=0)
    for name, said in words.items():
        print(f"  {name:<{width}}  {said}")
