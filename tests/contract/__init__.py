"""What LiveKit does, as tests that run against the stand-in and can run against the real one."""
