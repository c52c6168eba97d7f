"""Processes that use channels in every way at random, and the invariants that must hold."""
