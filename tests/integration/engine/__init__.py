"""The engine over real SQL, a LiveKit in memory and a clock that stands still."""
