"""Channels and everything built from their ends."""
