"""LightningModules: the only place where networks, ground truth and losses meet."""
