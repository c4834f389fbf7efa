"""Models that train with het_tf, and the data they train on."""
