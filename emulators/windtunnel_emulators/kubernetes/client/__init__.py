"""How everything behind a cluster's API speaks to it: one seam, whatever API server answers."""
