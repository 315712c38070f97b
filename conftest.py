"""What holds for every test of the workspace."""

from hypothesis import settings

# A machine that is busy with something else is no fault of the code: benchmarks measure, tests do not.
settings.register_profile("ringfence", deadline=None)
settings.load_profile("ringfence")
