"""What does hive itself cost for each result?

448 trials x 10 results: one request a trial, every step measured (`eval_every=1`), a trainer that does nothing and
loads no torch, no two trials alike, 2 trainers; real processes, everything durable.

    ms_per_result       from the first `train()` of all to the tuner's last answer, by 4,480; median of the runs
    fsyncs_per_result   calls of fsync, fdatasync and msync by all processes, by 4,480, seen by strace in a run of its
                        own; where there is no strace, by what was written: a commit syncs once, a checkpoint twice
    first_step_s        from the command to the first `train()` of all; median of the runs

Ray Tune with actor reuse: 9.8 ms a result. Targets: 0.2 ms, 2 s.
"""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
from pathlib import Path

import lmdb
from support.report import Ran, arguments, conclude, hive_run, introduce, scratch

RUNS = 3
RESULTS = 4480
SYNCS = "fsync,fdatasync,msync"


def main() -> None:
    """Run it three times, and once more to count."""
    given = arguments(__doc__)
    introduce(given.seed, ["hive-stage", "lmdb", "pyzmq", "msgspec"])
    results_ms, starts_s = [], []
    for number in range(RUNS):
        with scratch() as folder:
            ran = run(Path(folder), given.seed)
            first, last = (float((Path(folder) / name).read_text()) for name in ("first_step", "last_answer"))
            results_ms.append((last - first) * 1000 / RESULTS)
            starts_s.append(first - ran.began)
            written = syncs_by_writes(Path(folder) / "root", ran)
        told = f"{results_ms[-1]:.3f} ms a result, first step after {starts_s[-1]:.2f} s"
        print(f"run {number + 1}     {told}", flush=True)
    syncs = syncs_by_strace(given.seed) or written
    print(f"syncs     {syncs} seen, {written} by what was written")
    figures = {
        "ms_per_result": statistics.median(results_ms),
        "fsyncs_per_result": syncs / RESULTS,
        "first_step_s": statistics.median(starts_s),
    }
    conclude(figures, as_json=given.json)


def run(folder: Path, seed: int, *before: str) -> Ran:
    """One run, which must have trained every step once."""
    ran = hive_run("overhead.py", folder, before=before, seed=seed)
    assert ran.summary["steps_run"] == RESULTS, ran.summary["steps_run"]
    return ran


def syncs_by_writes(root: Path, ran: Ran) -> int:
    """Syncs by what was written: LMDB syncs its data once a transaction, a checkpoint its file and its folder."""
    return 2 * int(ran.summary["checkpoint_count"]) + sum(transactions(path.parent) for path in root.rglob("data.mdb"))


def transactions(folder: Path) -> int:
    with lmdb.open(str(folder), readonly=True, lock=False) as store:
        return store.info()["last_txnid"]


def syncs_by_strace(seed: int) -> int | None:
    """Calls of the kernel that wait for the disk, by all processes of a run; None where strace may not trace."""
    if shutil.which("strace") is None or subprocess.run(["strace", "true"], capture_output=True).returncode != 0:
        return None
    with scratch() as folder:
        out = Path(folder) / "syncs"
        strace = f"strace -f --seccomp-bpf -c -U calls,name -e trace={SYNCS} -o {out}"
        run(Path(folder), seed, *strace.split())
        counts = re.findall(rf"(\d+) (?:{SYNCS.replace(',', '|')})$", out.read_text(), re.MULTILINE)
    return sum(map(int, counts))


if __name__ == "__main__":
    main()
