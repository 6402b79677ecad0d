"""Where visitors arrive: listeners, HTTP, TLS passed through, TCP ports."""
