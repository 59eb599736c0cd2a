"""From `results/` to tables, claims and the text of README; needs no torch."""
