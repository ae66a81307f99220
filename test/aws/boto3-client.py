"""Drives a running server with boto3 and checks what its users rely on: exception classes, types, waiters, paginators.

Arguments: the endpoint. Credentials and region come from the environment. Prints one line for each fact; exits 1 at the
first that is not so.
"""

import datetime
import sys

import boto3
from botocore.exceptions import ClientError

endpoint = sys.argv[1]


def client(service):
    return boto3.client(service, endpoint_url=endpoint)


def fact(holds, text):
    print(("ok: " if holds else "NOT SO: ") + text, flush=True)
    if not holds:
        sys.exit(1)


def refused(call, **kwargs):
    try:
        call(**kwargs)
    except ClientError as error:
        return error
    return None


lightsail, ec2, sts = client("lightsail"), client("ec2"), client("sts")
exceptions = lightsail.exceptions

lightsail.create_disk(diskName="boto", availabilityZone="us-east-1a", sizeInGb=8)
made = lightsail.create_disk_snapshot(diskName="boto", diskSnapshotName="boto-s")
fact(isinstance(made["operations"][0]["createdAt"], datetime.datetime), "an operation's time is a datetime")
fact(made["ResponseMetadata"]["HTTPStatusCode"] == 200, "ResponseMetadata has the status")
fact(len(made["ResponseMetadata"]["RequestId"]) == 36, "ResponseMetadata has a request id")

error = refused(lightsail.get_disk, diskName="nobody")
fact(isinstance(error, exceptions.NotFoundException), "an unknown disk is a NotFoundException")
fact(all(error.response.get(name) for name in ("code", "docs", "message", "tip")), "with code, docs, message and tip")
error = refused(lightsail.create_disk_snapshot, diskSnapshotName="x-s")
fact(isinstance(error, exceptions.InvalidInputException), "no source is an InvalidInputException")
error = refused(lightsail.create_disk_snapshot, diskName="boto", instanceName="i", diskSnapshotName="x-s")
fact(isinstance(error, exceptions.InvalidInputException), "two sources are an InvalidInputException")
error = refused(lightsail.create_disk_snapshot, diskName="boto", diskSnapshotName="boto-s")
fact(isinstance(error, exceptions.InvalidInputException), "a name that is taken is an InvalidInputException")
unsigned = boto3.client(
    "lightsail", endpoint_url=endpoint, config=boto3.session.Config(signature_version=__import__("botocore").UNSIGNED)
)
error = refused(unsigned.get_disks)
fact(isinstance(error, exceptions.UnauthenticatedException) or error.response["Error"]["Code"] == "UnauthenticatedException",
     "an unsigned call is an UnauthenticatedException")

volume = ec2.create_volume(AvailabilityZone="us-east-1a", Size=8)["VolumeId"]
snapshot = ec2.create_snapshot(
    Description="This is my root volume snapshot.",
    VolumeId=volume,
    TagSpecifications=[{"ResourceType": "snapshot", "Tags": [{"Key": "k", "Value": "v"}]}],
)
fact(isinstance(snapshot["StartTime"], datetime.datetime), "StartTime is a datetime")
fact(snapshot["State"] == "pending" and snapshot["VolumeSize"] == 8, "a new snapshot is pending, with the volume's size")
fact(snapshot["Tags"] == [{"Key": "k", "Value": "v"}], "tags at creation are in the reply")
fact("StateMessage" not in snapshot and "DataEncryptionKeyId" not in snapshot, "what only describe-snapshots tells is absent")
ec2.get_waiter("snapshot_completed").wait(SnapshotIds=[snapshot["SnapshotId"]], WaiterConfig={"Delay": 1, "MaxAttempts": 30})
pages = ec2.get_paginator("describe_snapshots").paginate(OwnerIds=["self"], PaginationConfig={"PageSize": 5})
found = [one["SnapshotId"] for page in pages for one in page["Snapshots"]]
fact(found == [snapshot["SnapshotId"]], "the paginator finds the one snapshot that EC2 made")
resource = boto3.resource("ec2", endpoint_url=endpoint).Snapshot(snapshot["SnapshotId"])
fact(resource.progress == "100%" and resource.state == "completed", "the resource interface reads it")
error = refused(ec2.create_snapshot, VolumeId=volume, DryRun=True)
fact(error.response["Error"]["Code"] == "DryRunOperation", "a dry run says DryRunOperation")
fact(error.response["ResponseMetadata"]["HTTPStatusCode"] == 412, "with status 412")
error = refused(ec2.delete_snapshot, SnapshotId="snap-1a2b3c4d")
fact(error.response["Error"]["Code"] == "InvalidSnapshot.NotFound", "an unknown snapshot is InvalidSnapshot.NotFound")
fact(sts.get_caller_identity()["Account"] == snapshot["OwnerId"], "the caller owns the snapshot")
print("ok: all of it")
