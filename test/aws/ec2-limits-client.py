"""Provokes the limits of a running server with boto3. The server has: 6 volumes, 8 snapshots, 1 pending snapshot of a volume
and 2 in all, no copies, 1 modification of a volume in a day, no direct snapshots.

Arguments: the endpoint. Credentials and region come from the environment. Prints one line for each fact; exits 1 at the
first that is not so.
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

endpoint = sys.argv[1]
# A refusal that is worth another try is to be seen, not tried again.
config = Config(retries={"total_max_attempts": 1}, max_pool_connections=16)
ec2 = boto3.client("ec2", endpoint_url=endpoint, config=config)
ebs = boto3.client("ebs", endpoint_url=endpoint, config=config)


def fact(holds, text):
    print(("ok: " if holds else "NOT SO: ") + text, flush=True)
    if not holds:
        sys.exit(1)


def code_of(call, **kwargs):
    try:
        call(**kwargs)
        return None
    except ClientError as error:
        return error.response["Error"]["Code"]


zone = {"AvailabilityZone": "us-east-1a", "Size": 1}
fast = {"AvailabilityZone": "us-east-1a", "Size": 100, "VolumeType": "io1", "Iops": 5000}
fact(code_of(ec2.create_volume, **fast) == "MaxIOPSLimitExceeded", "provisioned IOPS of all volumes")
volumes = [ec2.create_volume(**zone)["VolumeId"] for _ in range(6)]
fact(code_of(ec2.create_volume, **zone) == "VolumeLimitExceeded", "volumes")
fact(code_of(ec2.modify_volume, VolumeId=volumes[0], Size=2) is None, "the first modification")
started = time.monotonic()


def settle():
    """Deletes all snapshots: what is pending, too."""
    for snapshot in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]:
        ec2.delete_snapshot(SnapshotId=snapshot["SnapshotId"])


def seen(code, order):
    """Whether many snapshots at once, of these volumes, make one of them be refused so."""
    for _ in range(20):
        with ThreadPoolExecutor(12) as pool:
            codes = set(pool.map(lambda volume: code_of(ec2.create_snapshot, VolumeId=volume), order))
        settle()
        if code in codes:
            return True
    return False


fact(seen("ConcurrentSnapshotLimitExceeded", [volumes[0]] * 12), "pending snapshots of one volume")
fact(seen("PendingSnapshotLimitExceeded", volumes * 2), "pending snapshots of all volumes")
made = []
while len(made) < 8:
    made.append(ec2.create_snapshot(VolumeId=volumes[1])["SnapshotId"])
    ec2.get_waiter("snapshot_completed").wait(SnapshotIds=made[-1:], WaiterConfig={"Delay": 1})
fact(code_of(ec2.create_snapshot, VolumeId=volumes[1]) == "SnapshotLimitExceeded", "snapshots")
copy = {"SourceRegion": "us-east-1", "SourceSnapshotId": made[0]}
fact(code_of(ec2.copy_snapshot, **copy) == "ResourceLimitExceeded", "pending copies")
fact(code_of(ebs.start_snapshot, VolumeSize=1) == "ConcurrentLimitExceededException", "snapshots being written")
while time.monotonic() < started + 30:
    [modification] = ec2.describe_volumes_modifications(VolumeIds=volumes[:1])["VolumesModifications"]
    if modification["ModificationState"] == "completed":
        break
    time.sleep(0.5)
fact(code_of(ec2.modify_volume, VolumeId=volumes[0], Size=3) == "VolumeModificationRateExceeded", "modifications")
fact(code_of(ec2.modify_volume, VolumeId=volumes[0]) is None, "what changes nothing counts for nothing")
print("ok: all of it")
