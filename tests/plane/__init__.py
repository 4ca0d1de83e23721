"""Whole shows on LiveKit's real server, ingress and an egress worker, seen from outside."""
