"""From the directory to a sealed request: which nodes there are, which of them is asked, what went wrong."""
