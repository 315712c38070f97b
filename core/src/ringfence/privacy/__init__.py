"""Privacy: labels and detectors, the gate that makes grants, the audit log."""
