"""The command line: ``het-tf launch``, ``het-tf shard``, ``het-tf status``, ``het-tf checkpoint``."""
