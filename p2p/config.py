"""Configuration: frozen dataclasses, merged once from file, environment and flags."""
