# What users of EBS snapshots declare, on a server whose endpoint stands in AWS_ENDPOINT_URL. `changed` is the second apply.

terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {
  region = "us-east-1"
}

provider "aws" {
  alias  = "west"
  region = "us-west-2"
}

variable "changed" {
  type    = bool
  default = false
}

variable "other_account" {
  type = string
}

data "aws_caller_identity" "me" {}

data "aws_availability_zones" "all" {}

resource "aws_ebs_volume" "data" {
  availability_zone = data.aws_availability_zones.all.names[0]
  size              = var.changed ? 3 : 2
  type              = "gp3"
  throughput        = var.changed ? 250 : 125
  final_snapshot    = true
  tags              = { Name = "data", backup = var.changed ? "weekly" : "daily" }
}

resource "aws_ebs_snapshot" "daily" {
  volume_id   = aws_ebs_volume.data.id
  description = "made by terraform"
  tags        = { Name = "daily", round = var.changed ? "2" : "1" }
}

resource "aws_ebs_snapshot_copy" "west" {
  provider           = aws.west
  source_snapshot_id = aws_ebs_snapshot.daily.id
  source_region      = "us-east-1"
  description        = "a copy elsewhere"
}

resource "aws_ebs_volume" "restored" {
  availability_zone = data.aws_availability_zones.all.names[0]
  snapshot_id       = aws_ebs_snapshot.daily.id
  tags              = { Name = "restored" }
}

resource "aws_snapshot_create_volume_permission" "other" {
  snapshot_id = aws_ebs_snapshot.daily.id
  account_id  = var.other_account
}

resource "aws_ebs_snapshot_block_public_access" "all" {
  state = var.changed ? "block-all-sharing" : "block-new-sharing"
}

resource "aws_rbin_rule" "keep" {
  description   = var.changed ? "kept longer" : "kept"
  resource_type = "EBS_SNAPSHOT"
  resource_tags {
    resource_tag_key   = "precious"
    resource_tag_value = "yes"
  }
  retention_period {
    retention_period_value = var.changed ? 14 : 7
    retention_period_unit  = "DAYS"
  }
  tags = { owner = "ops" }
}

resource "aws_iam_role" "dlm" {
  name = "dlm"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "dlm.amazonaws.com" }, Action = "sts:AssumeRole" }]
  })
}

resource "aws_iam_role_policy_attachment" "dlm" {
  role       = aws_iam_role.dlm.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AWSDataLifecycleManagerServiceRole"
}

resource "aws_dlm_lifecycle_policy" "nightly" {
  description        = var.changed ? "every night still" : "every night"
  execution_role_arn = aws_iam_role.dlm.arn
  state              = var.changed ? "DISABLED" : "ENABLED"
  policy_details {
    resource_types = ["VOLUME"]
    target_tags    = { backup = "daily" }
    schedule {
      name      = "nightly"
      copy_tags = true
      create_rule {
        interval      = 24
        interval_unit = "HOURS"
        times         = ["23:45"]
      }
      retain_rule {
        count = var.changed ? 3 : 14
      }
      tags_to_add = { kind = "nightly" }
    }
  }
  tags = { owner = "ops" }
}

data "aws_ebs_snapshot" "latest" {
  most_recent = true
  owners      = ["self"]
  filter {
    name   = "volume-id"
    values = [aws_ebs_snapshot.daily.volume_id]
  }
}

data "aws_ebs_volumes" "daily" {
  filter {
    name   = "volume-id"
    values = [aws_ebs_volume.data.id]
  }
}

output "latest" {
  value = data.aws_ebs_snapshot.latest.id
}
