"""The reporting backend: takes reports, checks and stores them, publishes results. Knows nothing of who tests it."""
