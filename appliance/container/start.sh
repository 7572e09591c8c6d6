#!/bin/sh
# What one process of the appliance makes, its group may write, as the units' UMask says.
umask 0007
exec "$@"
