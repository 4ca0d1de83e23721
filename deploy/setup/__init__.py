"""What `make` runs: set-up from the locks, Debian's packages, and the stages of the tests."""
