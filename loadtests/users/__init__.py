"""Locust users that behave like a caucus night: chairs, hotline clerks, reviewers, readers, observers, intruders."""
