"""Data for the models: Criteo rows (real and generated) and Frappe."""
