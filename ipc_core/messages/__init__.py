"""The path between objects and bytes with attachments."""
