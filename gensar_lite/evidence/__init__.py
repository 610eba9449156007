"""What a store says about an input without training."""

SOURCES = ("words", "neighbours", "likeness")
