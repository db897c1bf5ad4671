"""The permanent record of a federation: settlement and audit."""
