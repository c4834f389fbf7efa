"""One script per figure; each prints JSON lines (see figures.py)."""
