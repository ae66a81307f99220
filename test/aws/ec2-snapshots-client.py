"""Drives a running server with boto3 as two accounts: copies and shares of snapshots, and the codes of EC2's refusals.

Arguments: the endpoint, and the access key and the secret of another account. Credentials and region of the first come from
the environment. Prints one line for each fact; exits 1 at the first that is not so.
"""

import sys

import boto3
from botocore.exceptions import ClientError

endpoint, other_key, other_secret = sys.argv[1:]


def client(region="us-east-1", other=False):
    keys = {"aws_access_key_id": other_key, "aws_secret_access_key": other_secret} if other else {}
    return boto3.client("ec2", endpoint_url=endpoint, region_name=region, **keys)


def fact(holds, text):
    print(("ok: " if holds else "NOT SO: ") + text, flush=True)
    if not holds:
        sys.exit(1)


def refused(code, call, **kwargs):
    try:
        call(**kwargs)
        got = "nothing"
    except ClientError as error:
        got = error.response["Error"]["Code"]
    fact(got == code, f"{call.__name__} {kwargs} is refused with {code}" + ("" if got == code else f", not {got}"))


FAST = {"Delay": 1, "MaxAttempts": 60}
here, abroad, theirs = client(), client("eu-west-1"), client(other=True)
sts = boto3.client("sts", endpoint_url=endpoint, aws_access_key_id=other_key, aws_secret_access_key=other_secret)
other = sts.get_caller_identity()["Account"]

volume = here.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
here.get_waiter("volume_available").wait(VolumeIds=[volume], WaiterConfig=FAST)
snapshot = here.create_snapshot(VolumeId=volume, Description="the source")["SnapshotId"]
here.get_waiter("snapshot_completed").wait(SnapshotIds=[snapshot], WaiterConfig=FAST)

# Copies. boto3 adds a PresignedUrl and a DestinationRegion of its own.
tags = [{"ResourceType": "snapshot", "Tags": [{"Key": "copy", "Value": "1"}]}]
made = abroad.copy_snapshot(
    SourceRegion="us-east-1", SourceSnapshotId=snapshot, Description="a copy", TagSpecifications=tags
)
copy = made["SnapshotId"]
fact(made["Tags"] == [{"Key": "copy", "Value": "1"}], "a copy answers its tags")
shown = abroad.describe_snapshots(SnapshotIds=[copy])["Snapshots"][0]
fact(shown["VolumeId"] == "vol-ffffffff" and shown["Description"] == "a copy", "a copy is shown at once")
abroad.get_waiter("snapshot_completed").wait(SnapshotIds=[copy], WaiterConfig=FAST)
restored = abroad.create_volume(AvailabilityZone="eu-west-1a", SnapshotId=copy)["VolumeId"]
abroad.get_waiter("volume_available").wait(VolumeIds=[restored], WaiterConfig=FAST)
fact(True, "a copy is completed, and a volume is made of it")
copy_of = {"SourceRegion": "us-east-1", "SourceSnapshotId": snapshot}
refused("InvalidSnapshot.NotFound", abroad.copy_snapshot, SourceRegion="us-west-2", SourceSnapshotId=snapshot)
refused("InvalidParameterCombination", abroad.copy_snapshot, KmsKeyId="alias/none", **copy_of)
refused("InvalidSnapshot.NotFound", theirs.copy_snapshot, **copy_of)
refused("DryRunOperation", abroad.copy_snapshot, DryRun=True, **copy_of)

# Shares, in both forms of the request.
permission = "createVolumePermission"
here.modify_snapshot_attribute(SnapshotId=snapshot, CreateVolumePermission={"Add": [{"UserId": other}]})
attribute = here.describe_snapshot_attribute(SnapshotId=snapshot, Attribute=permission)
fact(attribute["CreateVolumePermissions"] == [{"UserId": other}], "a permission that was added is shown")
seen = theirs.describe_snapshots(RestorableByUserIds=["self"])["Snapshots"]
fact([one["SnapshotId"] for one in seen] == [snapshot], "a shared snapshot is seen by whom it is shared with")
fact(theirs.describe_snapshots(OwnerIds=["self"])["Snapshots"] == [], "and is not their own")
shared = theirs.create_volume(AvailabilityZone="us-east-1a", SnapshotId=snapshot)["VolumeId"]
theirs.get_waiter("volume_available").wait(VolumeIds=[shared], WaiterConfig=FAST)
copied = theirs.copy_snapshot(**copy_of)["SnapshotId"]
theirs.get_waiter("snapshot_completed").wait(SnapshotIds=[copied], WaiterConfig=FAST)
fact(True, "another account makes a volume and a copy of what is shared with it")
flat = {"SnapshotId": snapshot, "Attribute": permission}
here.modify_snapshot_attribute(OperationType="remove", UserIds=[other], **flat)
fact(theirs.describe_snapshots(OwnerIds=[seen[0]["OwnerId"]])["Snapshots"] == [], "a share that was taken back is gone")
here.modify_snapshot_attribute(OperationType="add", GroupNames=["all"], **flat)
fact(len(theirs.describe_snapshots(RestorableByUserIds=["all"])["Snapshots"]) == 1, "what is public is seen by all")
here.reset_snapshot_attribute(**flat)
refused("InvalidSnapshot.NotFound", theirs.describe_snapshots, SnapshotIds=[snapshot])
refused("InvalidUserID.Malformed", here.modify_snapshot_attribute, OperationType="add", UserIds=["12"], **flat)
refused("InvalidParameterValue", here.modify_snapshot_attribute, OperationType="add", GroupNames=["some"], **flat)
refused("InvalidParameterValue", here.reset_snapshot_attribute, SnapshotId=snapshot, Attribute="productCodes")
refused("InvalidSnapshot.NotFound", theirs.delete_snapshot, SnapshotId=snapshot)

# Lists.
for name, values, count in [
    ("volume-id", [volume], 1),
    ("volume-id", ["vol-*"], 1),
    ("status", ["completed"], 1),
    ("status", ["pending", "error"], 0),
    ("snapshot-id", [snapshot, "snap-1234abcd"], 1),
    ("description", ["the s?urce"], 1),
    ("owner-id", ["*"], 1),
    ("storage-tier", ["standard"], 1),
    ("encrypted", ["true"], 0),
    ("owner-alias", ["amazon"], 0),
    ("transfer-type", ["standard"], 0),
    ("volume-size", ["1"], 1),
]:
    found = here.describe_snapshots(Filters=[{"Name": name, "Values": values}], OwnerIds=["self"])["Snapshots"]
    fact(len(found) == count, f"{name} {values} finds {count}")
for number in range(12):
    tag = [{"ResourceType": "volume", "Tags": [{"Key": "part", "Value": str(number % 2)}]}]
    here.create_volume(AvailabilityZone="us-east-1a", Size=1, TagSpecifications=tag)
pages = here.get_paginator("describe_volumes").paginate(
    Filters=[{"Name": "tag:part", "Values": ["0"]}], PaginationConfig={"PageSize": 5}
)
sizes = [len(page["Volumes"]) for page in pages]
fact(sizes == [5, 1], "a searched list comes in pages")
refused("InvalidParameterValue", here.describe_snapshots, Filters=[{"Name": "colour", "Values": ["red"]}])
refused("FilterLimitExceeded", here.describe_snapshots, Filters=[{"Name": "status", "Values": ["x"] * 201}])
refused("InvalidParameterValue", here.describe_snapshots, MaxResults=4)
refused("InvalidParameterValue", here.describe_snapshots, MaxResults=1001)
refused("InvalidNextToken", here.describe_snapshots, NextToken="AAAA")
refused("InvalidUserID.Malformed", here.describe_snapshots, OwnerIds=["me"])

# The rest of the refusals.
machine = {"InstanceId": "i-1234567890abcdef0"}
refused("InvalidInstanceID.NotFound", here.create_snapshots, InstanceSpecification=machine)
refused("InvalidInstanceID.Malformed", here.create_snapshots, InstanceSpecification={"InstanceId": "i-1"})
refused("InvalidSnapshotID.Malformed", here.describe_snapshots, SnapshotIds=["snap-1"])
refused("InvalidSnapshot.NotFound", here.delete_snapshot, SnapshotId="snap-1234abcd")
refused("InvalidVolume.NotFound", here.create_snapshot, VolumeId="vol-1234abcd")
refused("InvalidVolumeID.Malformed", here.create_snapshot, VolumeId="vol-1")
refused("UnknownVolumeType", here.create_volume, AvailabilityZone="us-east-1a", Size=1, VolumeType="gp9")
refused("InvalidZone.NotFound", here.create_volume, AvailabilityZone="us-east-1z", Size=1)
refused("InvalidVolume.NotFound", here.modify_volume, VolumeId="vol-1234abcd", Size=2)
refused("InvalidVolumeModification.NotFound", here.describe_volumes_modifications, VolumeIds=[volume])
fact(here.modify_volume(VolumeId=volume)["VolumeModification"]["ModificationState"] == "completed", "nothing changes")
here.modify_volume(VolumeId=volume, VolumeType="gp3")
refused("IncorrectModificationState", here.modify_volume, VolumeId=volume, Size=3)
token = {"AvailabilityZone": "us-east-1a", "ClientToken": "once"}
first = here.create_volume(Size=1, **token)["VolumeId"]
fact(here.create_volume(Size=1, **token)["VolumeId"] == first, "a token makes one volume")
refused("IdempotentParameterMismatch", here.create_volume, Size=2, **token)

# Limits that the server was started with: 15 s between snapshots of a volume, five copies at once, few GiB.
again = here.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
here.create_snapshot(VolumeId=again)
try:
    here.create_snapshot(VolumeId=again)
    message = ""
except ClientError as error:
    message = error.response["Error"]["Message"]
fact(
    "The maximum per volume CreateSnapshot request rate has been exceeded" in message,
    "the text on which Terraform retries",
)
refused("SnapshotCreationPerVolumeRateExceeded", here.create_snapshot, VolumeId=again)
refused("MaxVolumeSizeExceeded", here.create_volume, AvailabilityZone="us-east-1a", Size=100)
refused("VolumeModificationSizeLimitExceeded", here.modify_volume, VolumeId=again, Size=100)
many = [{"Key": str(number), "Value": ""} for number in range(51)]
refused("TagLimitExceeded", here.create_tags, Resources=[again], Tags=many)
print("ok: all of it")
