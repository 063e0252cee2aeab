"""The networks. They never see ground truth."""
