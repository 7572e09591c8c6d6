"""Where studies come from and where results go."""
