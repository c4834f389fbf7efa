"""Data for the models: Criteo rows and graphs (real and generated), and Frappe."""
