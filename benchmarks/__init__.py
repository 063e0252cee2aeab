"""How long the work around the convolutions takes, next to the best peer; run by ``make benchmark``."""
