"""A night with people in it: what a room of trainees goes through, told by an event log. Knows nothing of pages."""
