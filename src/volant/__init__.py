"""Volant: declarative microVMs on one Linux host.

Users say what should exist over a REST API; API handlers only write desired specs to a store; independent
controllers reconcile them against the processes and networks they observe; every transition is an event.
See ARCHITECTURE.md for the rooms of this house and which way their imports point.
"""

__version__ = "0.1.0"
