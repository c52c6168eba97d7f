"""Which backend a channel uses, and where plugins are found."""
