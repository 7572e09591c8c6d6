"""Models: packages, transforms, runtimes. Sees clean types only."""
