"""The paper's experiments: HET and what it is compared with, on the same models, data and networks."""
