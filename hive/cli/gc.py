"""`hive gc`: give checkpoints up, in a root that is live or stopped. It must not know which ones, or where they lie."""

from __future__ import annotations

import json as json_text
from pathlib import Path

import msgspec

from hive.actors.messages import Collect, Collected
from hive.cli.asking import answer_at

__all__ = ["main"]

LISTED_S = 120.0
"""The coordinator looks at all files before it answers: an object store lists some thousand in a second."""


def main(root: Path, url: str | None, keys: Path | None, to: int | None, dry_run: bool, json: bool) -> int:
    """Give up what no trial could start from that might go on, or as much as it takes; and what no record names."""
    found = answer_at(root, url, keys, Collect(to, dry_run), Collected, LISTED_S)
    if json:
        print(json_text.dumps({**msgspec.structs.asdict(found), "dry_run": dry_run}, indent=1))
        return 0
    for plan, freed in found.by_plan.items():
        print(f"plan {plan}: {freed / 1e6:,.1f} MB")
    print(
        f"{'would give up' if dry_run else 'gave up'} {found.files:,} checkpoints of {found.freed / 1e6:,.1f} MB; "
        f"{found.left / 1e6:,.1f} MB {'would be' if dry_run else 'are'} left"
    )
    if found.orphans:
        print(
            f"{'would delete' if dry_run else 'deleted'} {found.orphans:,} files of {found.orphan_bytes / 1e6:,.1f} MB "
            f"that no record names"
        )
    return 0
