"""What a site hands to who helps it: the appliance without patients, staff and secrets."""
