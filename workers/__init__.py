"""Who does the work: actors that are rung, loops that look by themselves, and their process."""
