"""Record what crosses each network interface of a node until told to stop: capture.py FOLDER. Runs on the node itself.

Writes the raw packets of each interface to FOLDER/<interface>. Ends when FOLDER/stop exists.
"""

import pathlib
import socket
import sys

folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True)
every_protocol = socket.ntohs(3)
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, every_protocol) as sniffer:
    sniffer.settimeout(0.2)
    sniffer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
    files = {}
    (folder / "began").touch()
    while not (folder / "stop").exists():
        try:
            packet, (interface, *_) = sniffer.recvfrom(65535)
        except TimeoutError:
            continue
        files.setdefault(interface, (folder / interface).open("ab")).write(packet)
    for file in files.values():
        file.close()
(folder / "ended").touch()
