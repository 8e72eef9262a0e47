# Each bucket replicates to each other one. S3 keeps the version ids, by which the tables
# refer to objects, and doesn't replicate that a version was deleted.

data "aws_iam_policy_document" "replication_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["s3.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

data "aws_iam_policy_document" "replication" {
  statement {
    sid       = "Buckets"
    actions   = ["s3:GetReplicationConfiguration", "s3:ListBucket"]
    resources = [for b in aws_s3_bucket.archive : b.arn]
  }

  statement {
    sid = "Objects"
    actions = [
      "s3:GetObjectVersionForReplication",
      "s3:GetObjectVersionAcl",
      "s3:GetObjectVersionTagging",
      "s3:ReplicateObject",
      "s3:ReplicateTags",
    ]
    resources = [for b in aws_s3_bucket.archive : "${b.arn}/${var.prefix}*"]
  }

  dynamic "statement" {
    for_each = length(local.kms_key_arns) > 0 ? [true] : []
    content {
      sid       = "Keys"
      actions   = ["kms:Decrypt", "kms:Encrypt"]
      resources = values(local.kms_key_arns)

      condition {
        test     = "StringLike"
        variable = "kms:ViaService"
        values   = ["s3.*.amazonaws.com"]
      }
    }
  }
}

resource "aws_iam_role" "replication" {
  count = length(var.replicas) > 0 ? 1 : 0

  name               = "${var.name}-replication"
  assume_role_policy = data.aws_iam_policy_document.replication_trust.json
  tags               = var.tags
}

resource "aws_iam_role_policy" "replication" {
  count = length(var.replicas) > 0 ? 1 : 0

  name   = "replication"
  role   = aws_iam_role.replication[0].id
  policy = data.aws_iam_policy_document.replication.json
}

resource "aws_s3_bucket_replication_configuration" "archive" {
  for_each = { for region, b in aws_s3_bucket.archive : region => b if length(var.replicas) > 0 }

  region = each.key
  bucket = each.value.id
  role   = aws_iam_role.replication[0].arn

  dynamic "rule" {
    for_each = { for i, region in local.regions : region => i if region != each.key }
    content {
      id       = "to-${rule.key}"
      priority = rule.value
      status   = "Enabled"

      filter {
        prefix = var.prefix
      }

      # A marker is somebody's mistake, since sdsaws makes none: it stays in one region.
      delete_marker_replication {
        status = "Disabled"
      }

      dynamic "source_selection_criteria" {
        for_each = length(local.kms_key_arns) > 0 ? [true] : []
        content {
          sse_kms_encrypted_objects {
            status = "Enabled"
          }
        }
      }

      destination {
        bucket = aws_s3_bucket.archive[rule.key].arn

        dynamic "encryption_configuration" {
          for_each = contains(keys(local.kms_key_arns), rule.key) ? [local.kms_key_arns[rule.key]] : []
          content {
            replica_kms_key_id = encryption_configuration.value
          }
        }

        # What the runbook waits for: OperationsPendingReplication.
        metrics {
          status = "Enabled"
        }
      }
    }
  }

  depends_on = [aws_s3_bucket_versioning.archive]
}
