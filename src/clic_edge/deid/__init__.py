"""De-identification by PS3.15 Annex E: Series in, CleanSeries out."""
