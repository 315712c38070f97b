"""The public test kit: doubles for apps and plugin authors."""
