"""The page of an audit: one self-contained file that a clinician, an engineer and a regulator can each read."""
