"""Real servers and processes for the tests: one module each, and a test of its own beside it."""
