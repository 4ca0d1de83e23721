"""Stand-ins that live in the test's own process: a LiveKit, a clock, a bell, a player."""
