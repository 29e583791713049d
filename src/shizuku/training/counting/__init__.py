"""Models that are counted, not learned by gradient: n-grams and their smoothing."""
