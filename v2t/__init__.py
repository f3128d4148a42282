"""v2t: private speech-to-text on your own machines, run durably by Temporal."""
