"""What crosses the wire: pydantic models with exactly the contract's names."""
