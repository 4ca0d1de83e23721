"""What Greenroom decides, and everything it decides with; no HTTP, no queue."""
