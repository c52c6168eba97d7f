"""The choice of a backend, and the entry points of plugins."""
