"""What a store says about a request without training, made once."""

NAMES = ("words", "neighbours", "content")
"""The sources, in the order in which rows name them; here, because settings are checked before anything heavy is loaded."""
