"""Other systems that benchmarks compare with, each in a virtual environment and a process of its own.

`environments` installs them, `coprocess` talks to one, the other modules are the
programs that run inside such an environment and import nothing of het_tf.
"""
