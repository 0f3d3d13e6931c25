"""What a reconciler must have, as ids and priorities only. What each means stands in docs/guarantees.md, in our words.

An id is a letter and a number. The checklist of docs/security.md uses some of the same letters, and tests carry its ids
in their docstrings as well: it is here so that an id of neither list is found out.
"""

from __future__ import annotations

_PRIORITIES = {
    "Q": "00000110110112",
    "L": "00001001",
    "V": "0000000011001",
    "D": "0001010100",
    "R": "0010110",
    "U": "001110111211",
    "P": "0010010000010",
    "W": "0001001111",
    "E": "1101",
    "A": "11100001101",
    "S": "01101",
}
"""By letter, the priorities of 1, 2, 3 and so on: 0 is wrong without it, 1 is expected, 2 is more than that."""

REQUIREMENTS: dict[str, int] = {
    f"{letter}{number}": int(priority)
    for letter, priorities in _PRIORITIES.items()
    for number, priority in enumerate(priorities, start=1)
}

LINES = {"A": 18, "B": 11, "C": 12, "D": 9, "E": 9, "F": 8, "G": 14, "H": 5}
"""By letter, how many lines the security checklist has."""

_CHECKLIST = LINES | {"V": 21}

CHECKLIST: frozenset[str] = frozenset(
    f"{letter}{number}" for letter, last in _CHECKLIST.items() for number in range(1, last + 1)
)
"""The ids of the security checklist."""
