"""The HTTP API: requests in, desired specs into the store, answers and event streams out.

    HTTP ──▶ front ──▶ route table (app) ──▶ one module a resource ──▶ store
                │                                    │
                └── problems ◀── any VolantError ◀───┘

`create_app(deps)` is the only way in; `app.py` has every route on one screen. A handler reads rows and writes specs,
and may wait until the bus says that an observed state is reached (`waiting`). It never starts a process, touches a
network or calls a driver: what the host has to say comes in through `Deps`, from the daemon.

Deliberately absent: authentication (the daemon listens on loopback only), CORS (no other site may read an answer), and
any state but open streams and waits.
"""

from volant.api.app import create_app
from volant.api.deps import Check, Deps, HealthReport
from volant.model.views import SystemFacts

__all__ = ["Check", "Deps", "HealthReport", "SystemFacts", "create_app"]
