"""What exists, as values: objects, conditions, events, and the wire form of each.

Everything here is a frozen msgspec Struct or a pure function over them. There is deliberately no I/O, no clock, no
chance and no third party but msgspec: a model that could look at the world would be tempted to act on it.
"""
