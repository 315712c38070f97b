"""Routing: the attempts of one request, in the order the decision gives."""
