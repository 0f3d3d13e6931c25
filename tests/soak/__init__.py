"""Rounds of `kill -9` against a real daemon with real guests, until told otherwise.

    wishes (clients) ─▶ ╮                                     ╭─ host: /proc, run directories, ports
    faults ───────────▶ ├─▶ daemon ✝ ─▶ daemon ✝ ─▶ ... ─▶ ───┼─ API: every object, at rest
    kill -9 ──────────▶ ╯        │                            ╰─ database: as each dead daemon left it
                                 ╰─▶ readers of the event stream, through all lives

After each round the judge compares all three with what was asked for and what was done to the host. What the soak
promises of a run without complaint is in README.md. `campaign.Campaign` is the door; `python -m tests.soak` runs one.

Deliberately absent: knowledge of how the daemon finds its guests. The host is looked at by other code than its own.
"""
