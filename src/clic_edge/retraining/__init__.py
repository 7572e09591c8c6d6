"""From what readers said to labelled cases without identity: between ledger, archive and training.

Knows the patient on one side and writes none of it on the other. Learns nothing itself: torch
and MONAI are in `training` only.
"""
