"""`hive gc`: give checkpoints up, in a root that is live or stopped. It must not know which ones, or where they lie."""

from __future__ import annotations

import json as json_text
from pathlib import Path

import msgspec

from hive.actors.messages import Collect, Collected
from hive.cli.asking import answer_at

__all__ = ["main"]


def main(root: Path, url: str | None, keys: Path | None, to: int | None, dry_run: bool, json: bool) -> int:
    """Give up what no trial could start from that might go on, or as much as it takes."""
    found = answer_at(root, url, keys, Collect(to, dry_run), Collected)
    if json:
        print(json_text.dumps({**msgspec.structs.asdict(found), "dry_run": dry_run}, indent=1))
        return 0
    for plan, freed in found.by_plan.items():
        print(f"plan {plan}: {freed / 1e6:,.1f} MB")
    print(
        f"{'would give up' if dry_run else 'gave up'} {found.files:,} checkpoints of {found.freed / 1e6:,.1f} MB; "
        f"{found.left / 1e6:,.1f} MB {'would be' if dry_run else 'are'} left"
    )
    return 0
