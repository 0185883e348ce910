"""FATE 2.2 itself, on this machine or between hosts; its scripts run in an environment of FATE's own."""
