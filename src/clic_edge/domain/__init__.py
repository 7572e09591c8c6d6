"""Values only: what flows between the stages. Frozen, keyword-only, arrays read-only.

`study` and `result` know the patient; `clean`, `volume`, `prediction` and `case` do not.
"""
