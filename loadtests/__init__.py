"""Everything that touches a reporting backend.

What a backend is asked for: `contract`, `content`; how it is spoken to: `target`; our own: `backend`.
What is sent: `workload` (when), `traffic` (what), `users` (Locust's people); who sends it on time: `generator`.
What came of it: `trial`, `objectives`; where it breaks: `breaking_point` (the search alone), `search` (at a backend).
What breaks meanwhile: `faults`, `proxy`. What was promised, and whether it was kept: `ledger`, `stored`,
`reconciliation`, `losses`. What is kept of a run: `report`. The command line: `commands`.
"""
