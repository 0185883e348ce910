"""The engines: ways to train the same model on the same rows, behind one contract."""
