"""Provokes with boto3 the refusals of EC2 that the other scripts here do not: of every operation that is there, by code and
status, and of what is wrong with a request before an operation is asked.

Arguments: the endpoint. Credentials and region come from the environment. Prints one line for each refusal, and then all
codes that were seen; goes on after a wrong one, and exits 1 at the end if there was any.
"""

import sys
import time
from urllib.error import HTTPError
from urllib.request import urlopen

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

endpoint = sys.argv[1]
# What the client itself would refuse is sent as well, and nothing is tried again.
config = Config(parameter_validation=False, retries={"total_max_attempts": 1})
ec2 = boto3.client("ec2", endpoint_url=endpoint, config=config)
kms = boto3.client("kms", endpoint_url=endpoint)
known = set(ec2.meta.service_model.operation_names)
seen, wrong = {}, []


def note(code, status, text, expected):
    seen.setdefault(code, text)
    holds = (code, status) == expected
    print(("ok: " if holds else "NOT SO: ") + f"{text}: {code} {status}" + ("" if holds else f", not {expected}"), flush=True)
    if not holds:
        wrong.append(text)


def refused(code, client, operation, status=400, **kwargs):
    """`operation` as the service spells it; what this boto3 does not know yet is left to the newer."""
    if operation not in known or not set(kwargs) <= set(client.meta.service_model.operation_model(operation).input_shape.members):
        return
    method = {name: method for method, name in client.meta.method_to_api_mapping.items()}[operation]
    try:
        getattr(client, method)(**kwargs)
        got, found = "nothing", 200
    except ClientError as error:
        got, found = error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
        if not error.response["Error"]["Message"] or not error.response["ResponseMetadata"].get("RequestId"):
            wrong.append(f"{operation}: no message or no request id")
    note(got, found, f"{operation} {str(kwargs)[:150]}", (code, status))


def changed(change):
    """A client whose requests are changed after they are made and before they are signed."""
    client = boto3.client("ec2", endpoint_url=endpoint, config=config)
    client.meta.events.register("before-call.ec2", lambda params, **_: change(params) and None)
    return client


# Two requests that are let grow old meanwhile.
presigned = ec2.generate_presigned_url("describe_volumes", ExpiresIn=1, HttpMethod="GET")

zone = {"AvailabilityZone": "us-east-1a", "Size": 1}
fast = {"Delay": 0.1, "MaxAttempts": 600}
volume = ec2.create_volume(**zone)["VolumeId"]
snapshot = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
ec2.get_waiter("snapshot_completed").wait(SnapshotIds=[snapshot], WaiterConfig=fast)
no_volume, no_snapshot = "vol-1234567890abcdef0", "snap-1234567890abcdef0"
v, s, copy = {"VolumeId": volume}, {"SnapshotId": snapshot}, {"SourceRegion": "us-east-1", "SourceSnapshotId": snapshot}

# Who asks, and how the request is written.
unsigned = boto3.client("ec2", endpoint_url=endpoint, config=config.merge(Config(signature_version=UNSIGNED)))
refused("MissingAuthenticationToken", unsigned, "DescribeVolumes", 403)
stranger = boto3.client("ec2", endpoint_url=endpoint, config=config, aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
                        aws_secret_access_key="x" * 40)
refused("AuthFailure", stranger, "DescribeVolumes", 401)
forger = boto3.client("ec2", endpoint_url=endpoint, config=config, aws_secret_access_key="x" * 40,
                      aws_access_key_id=boto3.Session().get_credentials().access_key)
refused("AuthFailure", forger, "DescribeVolumes", 401)
nowhere = boto3.client("ec2", endpoint_url=endpoint, config=config, region_name="mars-north-1")
refused("AuthFailure", nowhere, "DescribeVolumes", 401)
cut = boto3.client("ec2", endpoint_url=endpoint, config=config)
cut.meta.events.register(
    "before-send.ec2", lambda request, **_: request.headers.update(Authorization="AWS4-HMAC-SHA256 Credential=x")
)
refused("IncompleteSignature", cut, "DescribeVolumes")
refused("InvalidAction", changed(lambda params: params["body"].update(Action="DescribeNothing")), "DescribeVolumes")
refused("MissingAction", changed(lambda params: params["body"].pop("Action")), "DescribeVolumes")
refused("UnknownParameter", changed(lambda params: params["body"].update(Colour="red")), "DescribeVolumes")
refused("MalformedQueryString", changed(lambda params: params.update(body=b"Action=DescribeVolumes&DryRun=%ZZ")), "DescribeVolumes")
refused("UnsupportedOperation", ec2, "AllocateAddress")
refused("InvalidParameterValue", changed(lambda params: params["body"].update(MaxResults="many")), "DescribeVolumes")

# Ids: of every operation that has one. `rest` is what else the operation needs before it looks.
permission = {"Attribute": "createVolumePermission"}
snapshot_operations = {
    "DeleteSnapshot": {},
    "DescribeSnapshotAttribute": permission,
    "LockSnapshot": {"LockMode": "governance", "LockDuration": 1},
    "ModifySnapshotAttribute": {**permission, "OperationType": "add", "GroupNames": ["all"]},
    "ModifySnapshotTier": {"StorageTier": "archive"},
    "ResetSnapshotAttribute": permission,
    "RestoreSnapshotFromRecycleBin": {},
    "RestoreSnapshotTier": {"PermanentRestore": True},
    "UnlockSnapshot": {},
}
volume_operations = {
    "CreateSnapshot": {},
    "DeleteVolume": {},
    "DescribeVolumeAttribute": {"Attribute": "autoEnableIO"},
    "EnableVolumeIO": {},
    "ModifyVolume": {"Size": 2},
    "ModifyVolumeAttribute": {"AutoEnableIO": {"Value": True}},
    "RestoreVolumeFromRecycleBin": {},
}
for operations, member, absent, not_found, malformed in [
    (snapshot_operations, "SnapshotId", no_snapshot, "InvalidSnapshot.NotFound", "InvalidSnapshotID.Malformed"),
    (volume_operations, "VolumeId", no_volume, "InvalidVolume.NotFound", "InvalidVolumeID.Malformed"),
]:
    for operation, rest in operations.items():
        refused("MissingParameter", ec2, operation, **rest)
        refused("InvalidParameterValue", ec2, operation, **{member: "disk-1"}, **rest)
        refused(malformed, ec2, operation, **{member: absent[:-1]}, **rest)
        refused(not_found, ec2, operation, **{member: absent}, **rest)
        refused(not_found, ec2, operation, **{member: absent}, **rest, DryRun=True)
        if not operation.startswith("Restore"):
            refused("DryRunOperation", ec2, operation, 412, **{member: volume if member == "VolumeId" else snapshot}, **rest, DryRun=True)
for operation, member, absent, code in [
    ("DescribeSnapshots", "SnapshotIds", no_snapshot, "InvalidSnapshot.NotFound"),
    ("DescribeVolumes", "VolumeIds", no_volume, "InvalidVolume.NotFound"),
    ("DescribeVolumeStatus", "VolumeIds", no_volume, "InvalidVolume.NotFound"),
    ("DescribeLockedSnapshots", "SnapshotIds", no_snapshot, "InvalidSnapshot.NotFound"),
    ("ListSnapshotsInRecycleBin", "SnapshotIds", no_snapshot, "InvalidSnapshot.NotFound"),
    ("ListVolumesInRecycleBin", "VolumeIds", no_volume, "InvalidVolume.NotFound"),
]:
    refused(code, ec2, operation, **{member: [absent]})
    refused(code.split(".")[0] + "ID.Malformed", ec2, operation, **{member: [absent[:-1]]})

# Lists.
for operation in [
    "DescribeSnapshots", "DescribeVolumes", "DescribeVolumeStatus", "DescribeVolumesModifications", "DescribeTags",
    "DescribeSnapshotTierStatus", "DescribeFastSnapshotRestores", "DescribeLockedSnapshots", "ListSnapshotsInRecycleBin",
    "ListVolumesInRecycleBin",
]:
    refused("InvalidNextToken", ec2, operation, NextToken="AAAA")
    refused("InvalidParameterValue", ec2, operation, MaxResults=1001)
    if "InRecycleBin" not in operation:
        refused("InvalidParameterValue", ec2, operation, Filters=[{"Name": "colour", "Values": ["red"]}])
        refused("FilterLimitExceeded", ec2, operation, Filters=[{"Name": "state", "Values": ["x"]}] * 51)
refused("InvalidParameterCombination", ec2, "DescribeVolumes", VolumeIds=[volume], MaxResults=5)

# Volumes.
for code, more in [
    ("MissingParameter", {"AvailabilityZone": None, "Size": 1}),
    ("MissingParameter", {"AvailabilityZone": "us-east-1a"}),
    ("InvalidZone.NotFound", {**zone, "AvailabilityZone": "us-west-2a"}),
    ("UnknownVolumeType", {**zone, "VolumeType": "floppy"}),
    ("InvalidParameterValue", {**zone, "Size": 0}),
    ("InvalidParameterValue", {**zone, "Size": 65537}),
    ("InvalidParameterValue", {**zone, "VolumeType": "st1"}),
    ("InvalidParameterCombination", {**zone, "VolumeType": "io1"}),
    ("InvalidParameterValue", {**zone, "VolumeType": "gp3", "Iops": 80001}),
    ("InvalidParameterCombination", {**zone, "VolumeType": "gp2", "Throughput": 125}),
    ("InvalidParameterCombination", {**zone, "KmsKeyId": "alias/none"}),
    ("InvalidParameterValue", {**zone, "Encrypted": True, "KmsKeyId": "alias/none"}),
    ("InvalidParameterValue", {**zone, "OutpostArn": "arn:aws:outposts:us-east-1:123456789012:outpost/op-1234567890abcdef0"}),
    ("InvalidSnapshot.NotFound", {**zone, "SnapshotId": no_snapshot}),
    ("InvalidSnapshotID.Malformed", {**zone, "SnapshotId": "snap-1"}),
    ("InvalidParameterValue", {**zone, "TagSpecifications": [{"ResourceType": "snapshot", "Tags": [{"Key": "a"}]}]}),
]:
    refused(code, ec2, "CreateVolume", **{name: value for name, value in more.items() if value is not None})
bigger = ec2.create_volume(AvailabilityZone="us-east-1a", Size=2)["VolumeId"]
of_bigger = ec2.create_snapshot(VolumeId=bigger)["SnapshotId"]
ec2.get_waiter("snapshot_completed").wait(SnapshotIds=[of_bigger], WaiterConfig=fast)
refused("InvalidParameterValue", ec2, "CreateVolume", **zone, SnapshotId=of_bigger)
refused("DryRunOperation", ec2, "CreateVolume", 412, **zone, DryRun=True)
refused("InvalidParameterValue", ec2, "ModifyVolume", VolumeId=bigger, Size=1)
refused("UnknownVolumeType", ec2, "ModifyVolume", VolumeId=bigger, VolumeType="floppy")
magnetic = ec2.create_volume(**zone, VolumeType="standard")["VolumeId"]
refused("UnsupportedOperation", ec2, "ModifyVolume", VolumeId=magnetic, Size=2)
refused("MissingParameter", ec2, "ModifyVolumeAttribute", **v)
refused("InvalidParameterValue", ec2, "DescribeVolumeAttribute", **v, Attribute="colour")
for code, status, more in [
    ("MissingParameter", 400, {}),
    ("InvalidVolume.NotFound", 400, {"SourceVolumeId": no_volume}),
    ("InvalidVolumeID.Malformed", 400, {"SourceVolumeId": "vol-1"}),
    ("InvalidParameterValue", 400, {"SourceVolumeId": bigger, "Size": 1}),
    ("UnknownVolumeType", 400, {"SourceVolumeId": volume, "VolumeType": "floppy"}),
    ("DryRunOperation", 412, {"SourceVolumeId": volume, "DryRun": True}),
]:
    refused(code, ec2, "CopyVolumes", status, **more)

# Snapshots, and tags.
arn = "arn:aws:outposts:us-east-1:123456789012:outpost/op-1234567890abcdef0"
refused("InvalidParameterValue", ec2, "CreateSnapshot", **v, OutpostArn=arn)
refused("InvalidParameterValue", ec2, "CreateSnapshot", **v, Description="x" * 256)


def tagged(*tags):
    return {"TagSpecifications": [{"ResourceType": "snapshot", "Tags": list(tags)}]}


refused("InvalidTagKey.Malformed", ec2, "CreateSnapshot", **v, **tagged({"Key": "", "Value": "x"}))
refused("InvalidParameterValue", ec2, "CreateSnapshot", **v, **tagged({"Key": "aws:x", "Value": "x"}))
refused("InvalidParameterValue", ec2, "CreateSnapshot", **v, **tagged({"Key": "k" * 129, "Value": "x"}))
refused("InvalidParameterValue", ec2, "CreateSnapshot", **v, **tagged({"Key": "k", "Value": "v" * 257}))
refused("InvalidParameterValue", ec2, "CreateSnapshot", **v, **tagged({"Key": "k"}, {"Key": "k"}))
refused("TagLimitExceeded", ec2, "CreateSnapshot", **v, **tagged(*({"Key": str(n)} for n in range(51))))
refused("MissingParameter", ec2, "CreateSnapshots", Description="no machine")
refused("InvalidInstanceID.NotFound", ec2, "CreateSnapshots", InstanceSpecification={"InstanceId": "i-1234567890abcdef0"})
refused("InvalidID", ec2, "CreateTags", Resources=["disk-1"], Tags=[{"Key": "a", "Value": "b"}])
refused("InvalidID", ec2, "DeleteTags", Resources=["disk-1"])
refused("InvalidVolumeID.Malformed", ec2, "CreateTags", Resources=["vol-1"], Tags=[{"Key": "a", "Value": "b"}])
refused("InvalidVolume.NotFound", ec2, "CreateTags", Resources=[no_volume], Tags=[{"Key": "a", "Value": "b"}])
refused("InvalidSnapshot.NotFound", ec2, "DeleteTags", Resources=[no_snapshot])
refused("InvalidTagKey.Malformed", ec2, "CreateTags", Resources=[volume], Tags=[{"Key": "", "Value": "b"}])
refused("MissingParameter", ec2, "CreateTags", Resources=[volume])
refused("MissingParameter", ec2, "CreateTags", Tags=[{"Key": "a", "Value": "b"}])
refused("DryRunOperation", ec2, "CreateTags", 412, Resources=[volume], Tags=[{"Key": "a", "Value": "b"}], DryRun=True)

# Copies, shares, tiers, locks, fast restores.
for minutes in (10, 2895):
    refused("InvalidParameterValue", ec2, "CopySnapshot", **copy, CompletionDurationMinutes=minutes)
refused("InvalidParameterValue", ec2, "CopySnapshot", SourceRegion="mars-north-1", SourceSnapshotId=snapshot)
refused("InvalidParameterValue", ec2, "CopySnapshot", **copy, Encrypted=True, KmsKeyId="alias/none")
refused("InvalidParameterValue", ec2, "CopySnapshot", **copy, DestinationOutpostArn=arn)
refused("MissingParameter", ec2, "CopySnapshot", SourceRegion="us-east-1")
refused("MissingParameter", ec2, "ModifySnapshotAttribute", **s, **permission)
refused("InvalidParameterValue", ec2, "ModifySnapshotAttribute", **s, **permission, OperationType="add",
        UserIds=[f"{n:012}" for n in range(1, 502)])
refused("InvalidUserID.Malformed", ec2, "ModifySnapshotAttribute", **s, CreateVolumePermission={"Add": [{"UserId": "bob"}]})
refused("InvalidParameterCombination", ec2, "ModifySnapshotAttribute", **s, OperationType="add", GroupNames=["all"],
        CreateVolumePermission={"Add": [{"Group": "all"}]})
refused("InvalidUserID.Malformed", ec2, "DescribeSnapshots", RestorableByUserIds=["bob"])
refused("IncorrectState", ec2, "RestoreSnapshotTier", **s, PermanentRestore=True)
refused("InvalidParameterCombination", ec2, "RestoreSnapshotTier", **s, PermanentRestore=True, TemporaryRestoreDays=1)
refused("InvalidParameterValue", ec2, "ModifySnapshotTier", **s, StorageTier="attic")
refused("IncorrectState", ec2, "UnlockSnapshot", **s)
for days in (0, 36501):
    refused("InvalidParameterValue", ec2, "LockSnapshot", **s, LockMode="governance", LockDuration=days)
for hours in (0, 73):
    refused("InvalidParameterValue", ec2, "LockSnapshot", **s, LockMode="compliance", LockDuration=1, CoolOffPeriod=hours)
refused("InvalidParameterCombination", ec2, "LockSnapshot", **s, LockMode="governance", LockDuration=1, CoolOffPeriod=1)
restores = {"AvailabilityZones": ["us-east-1a"], "SourceSnapshotIds": [snapshot]}
refused("MissingParameter", ec2, "EnableFastSnapshotRestores", SourceSnapshotIds=[snapshot])
refused("InvalidSnapshotID.Malformed", ec2, "EnableFastSnapshotRestores", **{**restores, "SourceSnapshotIds": ["snap-1"]})
refused("DryRunOperation", ec2, "EnableFastSnapshotRestores", 412, **restores, DryRun=True)
reply = ec2.enable_fast_snapshot_restores(AvailabilityZones=["us-east-1a"], SourceSnapshotIds=[no_snapshot])
item = reply["Unsuccessful"][0]["FastSnapshotRestoreStateErrors"][0]["Error"]["Code"]
note(item, 200, "EnableFastSnapshotRestores, of an item", ("InvalidSnapshot.NotFound", 200))
refused("MissingParameter", ec2, "EnableSnapshotBlockPublicAccess")
refused("InvalidParameterValue", ec2, "EnableSnapshotBlockPublicAccess", State="block-some")
if "EnableSnapshotBlockPublicAccess" in known:
    ec2.enable_snapshot_block_public_access(State="block-new-sharing")
    refused("OperationNotPermitted", ec2, "ModifySnapshotAttribute", **s, **permission, OperationType="add", GroupNames=["all"])
    ec2.disable_snapshot_block_public_access()

# Keys.
key = kms.create_key()["KeyMetadata"]["KeyId"]
sealed = ec2.create_volume(**zone, Encrypted=True, KmsKeyId=key)["VolumeId"]
secret = ec2.create_snapshot(VolumeId=sealed)["SnapshotId"]
ec2.get_waiter("snapshot_completed").wait(SnapshotIds=[secret], WaiterConfig=fast)
refused("OperationNotPermitted", ec2, "ModifySnapshotAttribute", SnapshotId=secret, OperationType="add", GroupNames=["all"])
refused("InvalidParameterValue", ec2, "ModifyEbsDefaultKmsKeyId", KmsKeyId="alias/none")
refused("MissingParameter", ec2, "ModifyEbsDefaultKmsKeyId")
for operation in ("EnableEbsEncryptionByDefault", "DisableEbsEncryptionByDefault", "GetEbsEncryptionByDefault",
                  "GetEbsDefaultKmsKeyId", "ResetEbsDefaultKmsKeyId", "GetSnapshotBlockPublicAccessState", "DescribeRegions",
                  "DescribeAvailabilityZones", "DescribeAccountAttributes"):
    refused("DryRunOperation", ec2, operation, 412, DryRun=True)
kms.disable_key(KeyId=key)
refused("InvalidKMSKey.InvalidState", ec2, "CreateVolume", **zone, SnapshotId=secret)
refused("InvalidKMSKey.InvalidState", ec2, "CreateVolume", **zone, Encrypted=True, KmsKeyId=key)

# An archived snapshot is no source, and a locked one is not deleted.
ec2.modify_snapshot_tier(**s, StorageTier="archive")
refused("IncorrectState", ec2, "ModifySnapshotTier", **s, StorageTier="archive")
deadline = time.monotonic() + 60
while ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"][0]["StorageTier"] != "archive":
    assert time.monotonic() < deadline, "the snapshot never came to the archive"
    time.sleep(0.1)
refused("IncorrectState", ec2, "CreateVolume", **zone, SnapshotId=snapshot)
refused("IncorrectState", ec2, "CopySnapshot", **copy)
if "LockSnapshot" in known:
    ec2.lock_snapshot(SnapshotId=of_bigger, LockMode="governance", LockDuration=1)
    refused("OperationNotPermitted", ec2, "DeleteSnapshot", SnapshotId=of_bigger)

try:
    urlopen(presigned)
    note("nothing", 200, "a presigned request after its time", ("RequestExpired", 400))
except HTTPError as error:
    code = error.read().decode().split("<Code>")[1].split("</Code>")[0]
    note(code, error.code, "a presigned request after its time", ("RequestExpired", 400))

print("codes: " + " ".join(sorted(seen)))
if wrong:
    print(f"{len(wrong)} are not so")
    sys.exit(1)
print("ok: all of it")
