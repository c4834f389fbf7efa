"""One module per way to train: where tables and dense variables are, and how workers agree."""
