"""One module for each TURN method, each in the step order of its section of RFC 8656."""
