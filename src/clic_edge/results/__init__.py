"""Result objects: SEG, SR, and the check that nothing invalid or misplaced leaves."""
