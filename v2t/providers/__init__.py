"""Adapters of the Transcriber port, one file each, loaded only when used."""
