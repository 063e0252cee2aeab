"""Looking a dataset over: everything that is wrong with it, what it holds, and a corrected copy."""
