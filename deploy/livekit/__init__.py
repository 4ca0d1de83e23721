"""The real media plane on this machine: livekit-server, ingress, an egress worker, Redis."""
