"""What a reviewer of a policy uses: its own tests with coverage, and a picture. Nothing here serves a request."""
