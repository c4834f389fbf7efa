"""The paper's own numbers (Miao et al., PVLDB 15(2), 2022), to stand beside those measured here."""

from __future__ import annotations

import math

# Hours to converge, 8 workers and one server, 1 GbE: as a multiple of HET cache at s=100.
EPOCH_RATIOS = {
    "wdl": {"parallax": 10.86, "het_hybrid": 5.14, "het_cache 10": 1.91},
    "deepfm": {"parallax": 9.24, "het_hybrid": 4.46, "het_cache 10": 1.78},
    "dcn": {"parallax": 11.29, "het_hybrid": 4.82, "het_cache 10": 1.98},
    "amazon": {"parallax": 20.68, "het_hybrid": 4.71, "het_cache 10": 1.39},
    "reddit": {"parallax": 6.37, "het_hybrid": 4.36, "het_cache 10": 1.04},
    "ogbn-mag": {"parallax": 16.39, "het_hybrid": 4.41, "het_cache 10": 1.15},
}
# Communication time as a multiple of HET cache's at s=100, by Gbit/s and model.
_SYSTEMS = ("tf_ps", "parallax", "het_ps", "het_ar", "het_hybrid", "het_cache 10")
COMMUNICATION_RATIOS = {
    network: {model: dict(zip(_SYSTEMS, ratios, strict=True)) for model, ratios in models.items()}
    for network, models in {
        "1": {
            "wdl": (21.9, 17.4, 10.8, 8.0, 8.2, 2.8),
            "deepfm": (46.0, 16.4, 36.7, 8.5, 7.9, 2.6),
            "dcn": (53.8, 17.8, 40.8, 8.9, 7.4, 2.6),
        },
        "10": {
            "wdl": (1.4, 3.7, 3.0, 20.4, 1.8, 1.3),
            "deepfm": (8.7, 4.5, 13.2, 27.5, 1.9, 1.4),
            "dcn": (11.5, 5.2, 18.8, 31.5, 2.3, 1.6),
        },
    }.items()
}
# Final AUC by staleness.
AUC = {
    "wdl": {0: 0.7964, 100: 0.7962, 10_000: 0.7884, math.inf: 0.7461},
    "deepfm": {0: 0.7974, 100: 0.7973, 10_000: 0.7896, math.inf: 0.7091},
    "dcn": {0: 0.8025, 100: 0.8024, 10_000: 0.7976, math.inf: 0.7529},
}
