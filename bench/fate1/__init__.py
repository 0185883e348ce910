"""A client of FATE 1.8 to 1.11, for the containers that KubeFATE starts."""
