"""Finding a breaking point at a backend: trials, recovery, and what ran out."""
