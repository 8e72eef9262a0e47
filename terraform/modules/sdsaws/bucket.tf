# One bucket for each region, by its region: they differ in nothing else.

resource "aws_s3_bucket" "archive" {
  #checkov:skip=CKV_AWS_18:access logs want a bucket of their own; who needs them adds CloudTrail data events
  #checkov:skip=CKV_AWS_144:replication is an option (replicas)
  #checkov:skip=CKV_AWS_145:a KMS key of one's own is an option (kms_key_arn)
  #checkov:skip=CKV2_AWS_62:nothing listens to events of the bucket
  for_each = local.buckets

  region = each.key
  bucket = each.value
  tags   = var.tags
}

resource "aws_s3_bucket_public_access_block" "archive" {
  for_each = aws_s3_bucket.archive

  region                  = each.key
  bucket                  = each.value.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "archive" {
  for_each = aws_s3_bucket.archive

  region = each.key
  bucket = each.value.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

# Objects are read and deleted by version.
resource "aws_s3_bucket_versioning" "archive" {
  for_each = aws_s3_bucket.archive

  region = each.key
  bucket = each.value.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "archive" {
  for_each = aws_s3_bucket.archive

  region = each.key
  bucket = each.value.id

  rule {
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = contains(keys(local.kms_key_arns), each.key) ? "aws:kms" : "AES256"
      kms_master_key_id = try(local.kms_key_arns[each.key], null)
    }
  }
}

data "aws_iam_policy_document" "tls_only" {
  for_each = aws_s3_bucket.archive

  statement {
    sid       = "TLSOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [each.value.arn, "${each.value.arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }

  statement {
    sid       = "TLS12"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [each.value.arn, "${each.value.arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "NumericLessThan"
      variable = "s3:TlsVersion"
      values   = ["1.2"]
    }
  }
}

resource "aws_s3_bucket_policy" "archive" {
  for_each = aws_s3_bucket.archive

  region = each.key
  bucket = each.value.id
  policy = data.aws_iam_policy_document.tls_only[each.key].json

  # Both change who may do what with the bucket, and S3 refuses that at the same time.
  depends_on = [aws_s3_bucket_public_access_block.archive]
}

resource "aws_s3_bucket_lifecycle_configuration" "archive" {
  for_each = aws_s3_bucket.archive

  region = each.key
  bucket = each.value.id

  rule {
    id     = "abort-uploads"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = var.abort_uploads_days
    }
  }

  rule {
    id     = "expire-noncurrent"
    status = "Enabled"

    filter {}

    expiration {
      expired_object_delete_marker = true
    }

    noncurrent_version_expiration {
      noncurrent_days = var.noncurrent_days
    }
  }

  dynamic "rule" {
    for_each = var.tier_segments[*]
    content {
      id     = "tier-segments"
      status = "Enabled"

      filter {
        prefix = "${var.prefix}segments/"
      }

      transition {
        days          = rule.value.days
        storage_class = rule.value.storage_class
      }
    }
  }

  depends_on = [aws_s3_bucket_versioning.archive]
}
