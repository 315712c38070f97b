"""Chat Completions and embeddings as the node takes them: checked in full before an engine sees anything."""
