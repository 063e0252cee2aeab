"""Pictures and pages: colours, boxes, curves, and what every HTML page shares."""
