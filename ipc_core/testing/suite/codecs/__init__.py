"""Objects, types and formats on their way through a channel."""
