"""What a check's files and its profile are called where nobody says otherwise."""

from __future__ import annotations

CASES_FILE, PROJECT_FILE = "gradscope.toml", "pyproject.toml"
BASELINE_NAME, CANDIDATE_NAME = "gradscope-baseline.json", "gradscope-candidate.json"
PROFILE = "cpu-f64"
