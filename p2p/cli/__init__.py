"""The command line: typer parses, rich renders, no logic."""
