"""What schemathesis is told in its own process when it tries sequences of requests.

The same request has to be answered alike whenever it comes in a sequence: schemathesis gives up on a machine of which
a state is reached once and not again, and a daemon that has been asked before remembers it. So what is made here has a
name that nothing had before.
"""

from __future__ import annotations

from itertools import count
from typing import Any

import schemathesis
from tests.conformance.fuzz_hooks import after_call, before_call, ease, filter_failure

from volant.model.meta import is_name

__all__ = ["after_call", "before_call", "before_call_of_sequences", "filter_failure"]

_numbers = count()


@schemathesis.hook("before_call")
def before_call_of_sequences(
    context: schemathesis.HookContext, case: schemathesis.Case[Any], kwargs: dict[str, Any]
) -> None:
    """Change what is about to be sent."""
    ease(case)
    body: Any = case.body
    name = body.get("name") if isinstance(body, dict) else None
    if isinstance(name, str) and is_name(name):
        body["name"] = f"{name[:32].rstrip('-')}-{next(_numbers)}"
