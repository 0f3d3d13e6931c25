"""What schemathesis is told in its own process when it tries sequences of requests.

The same request has to be answered alike whenever it comes in a sequence: schemathesis gives up on a machine of which
a state is reached once and not again, and a daemon that has been asked before remembers it. So nothing is left to stand
in the way of any request, and what is said to be made is made.
"""

from __future__ import annotations

from typing import Any

import schemathesis
from tests.conformance.fuzz_hooks import after_call, before_call, ease, filter_failure

__all__ = ["after_call", "before_call", "before_call_of_a_sequence", "filter_failure"]


@schemathesis.hook("before_call")
def before_call_of_a_sequence(
    context: schemathesis.HookContext, case: schemathesis.Case[Any], kwargs: dict[str, Any]
) -> None:
    """Change what is about to be sent."""
    ease(case)
