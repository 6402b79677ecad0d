"""Measures the relay beside coturn: same machine, same run, one core each, the generator on another one."""
