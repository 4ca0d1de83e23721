"""How Greenroom is put together, shown and deployed: the composition root and its surroundings."""
