"""Speech model files: which there are, where they come from, and that they are whole."""
