"""Cases, predictions, audit: what the appliance remembers."""
