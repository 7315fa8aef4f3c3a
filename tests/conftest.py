"""What holds for every test: how hypothesis draws.

Tests judge values, never times, so no example has a deadline. Each run draws the same examples, so that a red run stays
red; `HIVE_TEST_EXAMPLES=2000 make test` draws that many new ones.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile("steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile(
    "wide",
    deadline=None,
    print_blob=True,
    max_examples=int(os.environ.get("HIVE_TEST_EXAMPLES", "100")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("wide" if "HIVE_TEST_EXAMPLES" in os.environ else "steady")
