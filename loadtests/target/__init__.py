"""How a backend is spoken to: mapping, requests and answers, what may be loaded at all, and starting our own."""
