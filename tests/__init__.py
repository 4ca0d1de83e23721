"""What Greenroom promises, as tests; a regular package, because a wheel installs a `tests` too."""
