"""What the DAGs of nyc311 share. It lies in the plugins folder because the triggerer imports from there."""
