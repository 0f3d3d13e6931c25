"""Apply: many objects as they should be, said at once by somebody who says it again and again. Pure.

    document ──given──▶ leaves ─┐
    object   ──live───▶ leaves ─┼─merge──▶ leaves ──▶ document ──▶ spec
    who has said what ──────────┘   └────▶ who says what from now on, or conflicts

    documents  the forms: what a manifest may say of each kind, and what an object says in the same words
    leaves     a document as pointers and values
    merge      field ownership: what one manager says leaves alone what another one said
    outcome    what an apply comes to: the plan, its token, and what must be confirmed
    sets       what applies made of a set, and how the last of them is taken back

A field belongs to whoever said it last. A manager that no longer says a field gives it up: it goes back to its default
unless somebody else says it too. Lists are one value: whoever says one says all of it.
"""
