"""GitOps: a directory, or a branch of a git repository, becomes what a daemon has.

    Source ──render──▶ Render (all objects of one commit) ──turn──▶ Calls of the API ──▶ Turned

`turn` is a conversation and does no I/O: whoever runs it carries its calls, over a socket or in process, so
`volant sync` and the daemon's own syncs do the same by construction. It promises:

* A commit is applied whole or not at all. What cannot be read whole is never applied and never pruned from.
* A turn that finds nothing to do writes nothing.
* Git is asked in a child process that asks nobody anything, speaks what its address allows and nothing else, is bounded
  in time, and ends when it is told to.

Deliberately absent: when the next turn is due, remembering what was applied, and the environment, which is handed in.
"""

from volant.gitops.failing import SyncFailed, WrongSource
from volant.gitops.git import Mirror, address
from volant.gitops.render import Directory, Render, Repository, Source, set_of, within
from volant.gitops.turn import Aim, Turned, delay_s, said_of, turn
from volant.model.sync import COMMIT

__all__ = [
    "COMMIT",
    "Aim",
    "Directory",
    "Mirror",
    "Render",
    "Repository",
    "Source",
    "SyncFailed",
    "Turned",
    "WrongSource",
    "address",
    "delay_s",
    "said_of",
    "set_of",
    "turn",
    "within",
]
