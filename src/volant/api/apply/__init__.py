"""`POST /apply`: one set of objects, in one transaction, all or nothing.

body ──reading──▶ documents ──┐
                              ├─ one job: objects ▸ prune ▸ inventory ▸ plan ──▶ answer, or rolled back (dry run)
store: objects, fields, sets ─┘

asked     the body, and from it the documents, with every mistake at its path
objects   one document into one object: made, merged, or left as it is
prune     what the set no longer names
sets      the handlers
"""
