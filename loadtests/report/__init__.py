"""The reports of load tests: pages of findings, each with its picture and its table. Takes figures, returns text."""
