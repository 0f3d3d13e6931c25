"""Measures the daemon from outside, over HTTP, beside a baseline of the same run. `python -m bench` prints it all.

Nothing here judges: a figure that misses its goal is printed as such and changes no exit status, because a shared
machine says more about its neighbours than about the code. Nothing of `volant` is imported by a measurement; the
baseline alone borrows the daemon's server configuration, so that both are served alike.
"""
