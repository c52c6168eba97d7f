"""Objects become bytes with attachments, and come back."""
