"""What every other package may use: clock, ids, task helpers, logging. Imports nothing of tiphys."""
