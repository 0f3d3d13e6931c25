"""Seeded bugs, and the proof that the tests find each of them: see README.md in this directory."""
