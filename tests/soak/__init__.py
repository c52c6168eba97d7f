"""Processes that use channels in every way at random, and what must hold whatever happens."""
