"""The library of caucus nights: one TOML file each, and their rosters. Data only; `simulation.scenario` reads it."""
