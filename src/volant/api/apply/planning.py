"""`POST /plan`: what an apply would do, and what would come of it.

    body ──the same job as a dry run──▶ plan ─┐
         └─handed to the daemon──▶ forecast ──┴─▶ answer

The forecast is made of what is committed by then; whoever wants exactly this plan applies it by its token.
"""

from __future__ import annotations

import msgspec

from volant.api.apply.handlers import apply
from volant.api.call import Answer, Call, plain
from volant.model.apply.outcome import ApplyView
from volant.model.queries import Applying, NoQuery
from volant.model.timeline import PlanView, Timeline

_PLAN = msgspec.json.Decoder(ApplyView)
TRIAL = Applying(dry_run=True)
NOTHING = Timeline(end="settled", total_s=0.0, looked_ahead_s=0.0, steps=())


async def plan(call: Call, query: NoQuery) -> Answer:
    """`POST /plan`: Show what an apply would do, and what would come of it, step by step.

    The body is that of `POST /apply`, and `plan` in the answer is what its dry run says. For the `timeline` the apply
    is done to a copy of the store in memory, where the same controllers act on simulated guests in virtual time; guests
    take as long as those of their plugin were observed to, `pace` says how long that is. Nothing is changed.
    """
    tried = _PLAN.decode((await apply(call, TRIAL)).body)
    # Of a set with nothing in it nothing can come.
    timeline = await call.deps.forecast(call.raw) if tried.objects else NOTHING
    return plain(PlanView(plan=tried, timeline=timeline))
