"""The pages: a rehearsal in the browsers of a room. HTTP and HTML live here; what happens in a night does not."""
