"""The house ring, server side: a node that proves what it is and answers inside the encryption."""
