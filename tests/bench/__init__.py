"""How fast Greenroom is: each figure as a ratio to a floor that was measured in the same run."""
