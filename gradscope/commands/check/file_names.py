"""What the files of a regression check are called where nobody says otherwise; imports nothing."""

BASELINE_NAME, CANDIDATE_NAME = "gradscope-baseline.json", "gradscope-candidate.json"
