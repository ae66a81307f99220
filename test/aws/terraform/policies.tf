# What is done with snapshots after they are made: kept ready for fast restores, copied, shared.

resource "aws_ebs_fast_snapshot_restore" "daily" {
  availability_zone = data.aws_availability_zones.all.names[0]
  snapshot_id       = aws_ebs_snapshot.daily.id
}

resource "aws_dlm_lifecycle_policy" "following" {
  description        = "copied and shared"
  execution_role_arn = aws_iam_role.dlm.arn
  state              = "ENABLED"
  policy_details {
    resource_types = ["VOLUME"]
    target_tags    = { backup = "weekly" }
    schedule {
      name = "weekly"
      create_rule {
        cron_expression = "cron(30 3 ? * SUN *)"
      }
      retain_rule {
        count = 4
      }
      cross_region_copy_rule {
        target    = "us-west-2"
        encrypted = false
        copy_tags = true
        retain_rule {
          interval      = var.changed ? 2 : 1
          interval_unit = "MONTHS"
        }
      }
      fast_restore_rule {
        availability_zones = [data.aws_availability_zones.all.names[0]]
        count              = var.changed ? 2 : 1
      }
      share_rule {
        target_accounts       = [var.other_account]
        unshare_interval      = 10
        unshare_interval_unit = "DAYS"
      }
    }
  }
}

resource "aws_dlm_lifecycle_policy" "shared" {
  description        = "what others share"
  execution_role_arn = aws_iam_role.dlm.arn
  state              = "ENABLED"
  policy_details {
    policy_type = "EVENT_BASED_POLICY"
    action {
      name = "copy"
      cross_region_copy {
        target = "us-west-2"
        encryption_configuration {
          encrypted = false
        }
        retain_rule {
          interval      = var.changed ? 20 : 15
          interval_unit = "DAYS"
        }
      }
    }
    event_source {
      type = "MANAGED_CWE"
      parameters {
        description_regex = "^.*Created for policy: policy-1234567890abcdef0.*$"
        event_type        = "shareSnapshot"
        snapshot_owner    = [var.other_account]
      }
    }
  }
}
