"""Load tests: how many requests a second a service holds, at what latency, with what resources (docs/load.md).

Locust runs in a process of its own, since gevent changes the whole process that it is in: ``locustfile.py`` and what it
imports (``requests.py``, ``exchange.py``, ``record.py``, ``schedule.py``) run there, everything else in the kit's own.
"""
