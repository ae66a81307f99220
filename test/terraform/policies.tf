# What is done with snapshots after they are made: kept ready for fast restores, copied, shared.

resource "aws_ebs_fast_snapshot_restore" "daily" {
  availability_zone = data.aws_availability_zones.all.names[0]
  snapshot_id       = aws_ebs_snapshot.daily.id
}

resource "aws_dlm_lifecycle_policy" "following" {
  description        = "copied and shared"
  execution_role_arn = "arn:aws:iam::${data.aws_caller_identity.me.account_id}:role/dlm"
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
