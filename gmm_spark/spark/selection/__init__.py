"""Many fits over the same blocks: the grid, its starts, its passes."""
