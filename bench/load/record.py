"""What the locust file writes down and a step reads: said once for both."""

from __future__ import annotations

import struct

# Seconds of the monotonic clock at which it was due, at which the user that sent it was free for it, at which it was
# sent and answered; its code; the place of its name. Letters of the module struct, which NumPy shares.
FIELDS = {"due": "d", "free": "d", "sent": "d", "done": "d", "code": "i", "name": "i"}
LAYOUT = struct.Struct("<" + "".join(FIELDS.values()))
# Seconds after the end in which requests that are due are still sent, where the service is behind.
AFTER = 2.0
