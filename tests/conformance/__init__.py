"""The REST reference as a test: the file itself says what is asked, and what must come back.

    rest-api-reference.md ──reference──▶ operations, errors, examples ──tests──▶ volant serve

Nothing of the reference is written down a second time. What an operation presumes (a VM that is stopped, a plugin that
nobody uses) stands in `presumed`, one line an operation, and how an error is brought about in `provoked`. An operation,
parameter, error or label that nobody knows fails. Examples run as they are printed, inside a network namespace whose
port 8080 is the daemon's.

Deliberately absent: what Volant adds to the reference, which the other tests are for.
"""
