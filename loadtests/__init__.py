"""Load tests live here: everything that touches a backend."""
