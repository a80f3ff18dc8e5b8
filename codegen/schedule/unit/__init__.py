"""Units of work, one kind in each file: what it needs, what it costs, which instructions it becomes."""
