"""What would come of an apply: the real controllers, on a copy of the store and a simulated host, in virtual time.

    database ──copied──▶ store in memory ──┐
    guests that run ──▶ simulated host ────┼──the apply──▶ Engine ──events──▶ timeline
    times observed ──▶ how guests behave ──┘               in virtual time

It happens in a process of its own, because a roll of a thousand replicas is a minute of pure computing: the daemon goes
on answering, and the forecast can be bounded in memory, processor time and rights by the kernel.

    process       the daemon's side: starts the other process, bounds it, one at a time
    __main__      the other side: question in, timeline out
    run           the simulation itself, from a database file to a timeline
    question      what the two say to each other
    ground        the host and the network that the copy lives on, as they are now
    pace          how long guests take, from what was observed
    record        steps and lowest availability, from the events
    aims          what has to be so for the apply to be over, and what never will
    virtual_time  the loop on which time passes only when everybody waits

It touches nothing: the database is opened for reading, no driver but the simulated one is there, and what is written
is written to a copy that is gone with the process. What it does not know of are the artifacts of plugins that are still
to be fetched (they take no time), hosts that grow slow under load, and whatever happens meanwhile.
"""
