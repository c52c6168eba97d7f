"""The tests that every backend passes, as far as its capabilities go.

Each docstring begins with the ids of the behaviours that the test proves: see docs/behaviours.md.
"""
