"""moto's server with so many snapshots in its account, ready before it listens. Prints one line of JSON, then serves."""

import json
import sys

from moto.ec2.models import ec2_backends
from moto.server import ThreadedMotoServer

count, volumes = int(sys.argv[1]), int(sys.argv[2])
backend = ec2_backends["123456789012"]["us-east-1"]
ids = [backend.create_volume(size=1, zone_name="us-east-1a").id for _ in range(volumes)]
snapshots = []
for index in range(count):
    snapshot = backend.create_snapshot(ids[index % volumes], f"number {index}")
    snapshot.add_tags({"group": str(index // 10)})
    snapshots.append(snapshot.id)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
port = server.get_host_and_port()[1]
print(json.dumps({"port": port, "volumes": ids, "snapshots": snapshots[:64] + snapshots[-64:]}), flush=True)
sys.stdin.read()
