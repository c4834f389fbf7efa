"""Skew of real Criteo rows, in numbers: fit to 3,998 public sample rows.

Constants only. Categorical fields with many values follow

    p(rank) proportional to (rank + q) ** -a        rank 1..K, K as published

where the missing token is one of the ranks: the one whose probability is
nearest to its observed share (for C19, C25, C26 the first). Fields with
K <= 27 do not follow such a law; they carry the observed shares, most frequent
first, and the values never seen in the sample share the rest evenly.

Integer fields carry the share missing and, of the present values, the share of
zeros (or negative) and mean and deviation of log1p of the others.
"""

#: C field: (a, q, share missing).
POWER_LAWS = {
    1: (2.0, 0.3803, 0.0),
    2: (1.6, 4.243, 0.0),
    3: (1.05, 0.458, 0.032),
    4: (1.1, 0.3826, 0.032),
    5: (2.65, 0.3917, 0.0),
    7: (1.0, 8.927, 0.0),
    8: (2.35, 0.4116, 0.0),
    10: (0.95, -0.8442, 0.0),
    11: (1.05, 5.4, 0.0),
    12: (1.05, 0.4704, 0.032),
    13: (1.05, 5.348, 0.0),
    15: (1.3, 14.25, 0.0),
    16: (1.1, 1.06, 0.032),
    18: (1.4, 6.603, 0.0),
    19: (1.35, -0.4727, 0.478),
    21: (1.05, 0.4817, 0.032),
    24: (1.2, 1.12, 0.032),
    25: (3.45, 2.717, 0.478),
    26: (1.05, -0.8704, 0.478),
}

#: C field: counts among 3,998 rows of its values, most frequent first.
# fmt: off
COUNTS = {
    6: (1876, 759, 498, 498, 174, 134, 59),
    9: (3592, 406),
    14: (1440, 1356, 648, 146, 124, 82, 64, 44, 28, 16, 14, 9, 7, 5, 4, 3, 3, 2, 1, 1, 1),
    17: (1728, 516, 474, 327, 245, 187, 181, 173, 167),
    20: (1911, 739, 687, 661),
    22: (3257, 402, 262, 34, 34, 8, 1),
    23: (1838, 774, 416, 307, 227, 189, 135, 48, 31, 14, 14, 5),
}
# fmt: on

#: C field: which of its counts (from 0) is the missing token.
MISSING_COUNT = {6: 3, 20: 0, 22: 0}

#: I1..I13: (share missing, share of zeros, mean, deviation of log1p of the rest).
INTEGERS = (
    (0.4427, 0.484, 1.563, 0.857),
    (0.0000, 0.294, 3.037, 2.053),
    (0.2286, 0.008, 2.240, 1.293),
    (0.2116, 0.085, 1.885, 0.867),
    (0.0418, 0.019, 7.429, 2.715),
    (0.2434, 0.065, 3.872, 1.609),
    (0.0448, 0.250, 2.123, 1.208),
    (0.0010, 0.121, 2.370, 0.964),
    (0.0448, 0.032, 3.831, 1.577),
    (0.4427, 0.518, 0.757, 0.168),
    (0.0448, 0.262, 1.183, 0.632),
    (0.7559, 0.728, 1.125, 0.659),
    (0.2116, 0.062, 2.026, 0.979),
)
