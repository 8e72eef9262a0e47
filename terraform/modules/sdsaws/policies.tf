# One policy for each role. Which actions a role needs is listed in internal/permission;
# tests compare that with these, with the requests that are made, and with docs/security.md.

locals {
  state_arns  = [for r in local.regions : replace(aws_dynamodb_table.state.arn, ":${local.home}:", ":${r}:")]
  index_arns  = [for arn in local.state_arns : "${arn}/index/channels"]
  hints_arns  = [for r in local.regions : replace(aws_dynamodb_table.hints.arn, ":${local.home}:", ":${r}:")]
  bucket_arns = [for b in aws_s3_bucket.archive : b.arn]
  folders_of  = { for name, folders in local.folders : name => setproduct(["segments", "values"], folders) }
  objects_of = { for name, folders in local.folders_of : name => [
    for f in setproduct(local.bucket_arns, folders) : "${f[0]}/${var.prefix}${f[1][0]}/${f[1][1]}"
  ] }
  objects = [for f in setproduct(local.bucket_arns, ["segments", "values"]) : "${f[0]}/${var.prefix}${f[1]}/*"]

  # Keys are used by the two services alone, for who may use the table or bucket.
  key_services = ["dynamodb.*.amazonaws.com", "s3.*.amazonaws.com"]
}

data "aws_iam_policy_document" "participant" {
  for_each = var.participants

  statement {
    sid = "State"
    actions = [
      "dynamodb:BatchGetItem",
      "dynamodb:BatchWriteItem",
      "dynamodb:ConditionCheckItem",
      "dynamodb:DeleteItem",
      "dynamodb:GetItem",
      "dynamodb:PutItem",
      "dynamodb:Query",
      "dynamodb:UpdateItem",
    ]
    resources = local.state_arns

    condition {
      test     = "ForAllValues:StringLike"
      variable = "dynamodb:LeadingKeys"
      values   = local.leading_keys["participant ${each.key}"]
    }

    # ForAllValues holds where a request has no leading key.
    condition {
      test     = "Null"
      variable = "dynamodb:LeadingKeys"
      values   = ["false"]
    }
  }

  statement {
    sid       = "Hints"
    actions   = ["dynamodb:BatchGetItem", "dynamodb:BatchWriteItem"]
    resources = local.hints_arns

    condition {
      test     = "ForAllValues:StringLike"
      variable = "dynamodb:LeadingKeys"
      values   = local.leading_keys["participant ${each.key}"]
    }

    condition {
      test     = "Null"
      variable = "dynamodb:LeadingKeys"
      values   = ["false"]
    }
  }

  statement {
    sid = "Objects"
    actions = [
      "s3:DeleteObjectVersion",
      "s3:GetObject",
      "s3:GetObjectVersion",
      "s3:PutObject",
    ]
    resources = local.objects_of["participant ${each.key}"]
  }

  statement {
    sid       = "Versions"
    actions   = ["s3:ListBucketVersions"]
    resources = local.bucket_arns

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = [for f in local.folders_of["participant ${each.key}"] : "${var.prefix}${f[0]}/${f[1]}"]
    }
  }

  dynamic "statement" {
    for_each = length(local.kms_key_arns) > 0 ? [true] : []
    content {
      sid       = "Keys"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = values(local.kms_key_arns)

      condition {
        test     = "StringLike"
        variable = "kms:ViaService"
        values   = local.key_services
      }
    }
  }
}

data "aws_iam_policy_document" "reader" {
  for_each = var.readers

  statement {
    sid       = "State"
    actions   = ["dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:Query"]
    resources = local.state_arns

    condition {
      test     = "ForAllValues:StringLike"
      variable = "dynamodb:LeadingKeys"
      values   = local.leading_keys["reader ${each.key}"]
    }

    condition {
      test     = "Null"
      variable = "dynamodb:LeadingKeys"
      values   = ["false"]
    }
  }

  statement {
    sid       = "Hints"
    actions   = ["dynamodb:BatchGetItem"]
    resources = local.hints_arns

    condition {
      test     = "ForAllValues:StringLike"
      variable = "dynamodb:LeadingKeys"
      values   = local.leading_keys["reader ${each.key}"]
    }

    condition {
      test     = "Null"
      variable = "dynamodb:LeadingKeys"
      values   = ["false"]
    }
  }

  statement {
    sid       = "Objects"
    actions   = ["s3:GetObjectVersion"]
    resources = local.objects_of["reader ${each.key}"]
  }

  dynamic "statement" {
    for_each = length(local.kms_key_arns) > 0 ? [true] : []
    content {
      sid       = "Keys"
      actions   = ["kms:Decrypt"]
      resources = values(local.kms_key_arns)

      condition {
        test     = "StringLike"
        variable = "kms:ViaService"
        values   = local.key_services
      }
    }
  }
}

# A sweeper goes through all namespaces.
data "aws_iam_policy_document" "sweeper" {
  statement {
    sid = "State"
    actions = [
      "dynamodb:BatchWriteItem",
      "dynamodb:ConditionCheckItem",
      "dynamodb:DeleteItem",
      "dynamodb:GetItem",
      "dynamodb:PutItem",
      "dynamodb:Query",
    ]
    resources = local.state_arns
  }

  # Scan lists the namespaces, for a sweeper that has no list of them.
  statement {
    sid       = "Channels"
    actions   = ["dynamodb:Query", "dynamodb:Scan"]
    resources = local.index_arns
  }

  statement {
    sid       = "Hints"
    actions   = ["dynamodb:BatchWriteItem"]
    resources = local.hints_arns
  }

  statement {
    sid = "Objects"
    actions = [
      "s3:DeleteObjectVersion",
      "s3:GetObject",
      "s3:GetObjectVersion",
      "s3:PutObject",
    ]
    resources = local.objects
  }

  # With ListBucket, what isn't there is told as missing, and not as forbidden.
  statement {
    sid       = "Bucket"
    actions   = ["s3:ListBucket", "s3:ListBucketVersions"]
    resources = local.bucket_arns
  }

  dynamic "statement" {
    for_each = length(local.kms_key_arns) > 0 ? [true] : []
    content {
      sid       = "Keys"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = values(local.kms_key_arns)

      condition {
        test     = "StringLike"
        variable = "kms:ViaService"
        values   = local.key_services
      }
    }
  }
}

# For fsck over all namespaces, with repairs. It may delete all that is stored, and neither
# tables nor bucket.
data "aws_iam_policy_document" "operator" {
  statement {
    sid = "State"
    actions = [
      "dynamodb:BatchGetItem",
      "dynamodb:BatchWriteItem",
      "dynamodb:ConditionCheckItem",
      "dynamodb:DeleteItem",
      "dynamodb:GetItem",
      "dynamodb:PutItem",
      "dynamodb:Query",
      "dynamodb:Scan",
    ]
    resources = local.state_arns
  }

  statement {
    sid       = "Channels"
    actions   = ["dynamodb:Query"]
    resources = local.index_arns
  }

  statement {
    sid       = "Hints"
    actions   = ["dynamodb:BatchGetItem", "dynamodb:BatchWriteItem"]
    resources = local.hints_arns
  }

  statement {
    sid = "Objects"
    actions = [
      "s3:DeleteObjectVersion",
      "s3:GetObject",
      "s3:GetObjectVersion",
      "s3:PutObject",
    ]
    resources = local.objects
  }

  statement {
    sid       = "Bucket"
    actions   = ["s3:ListBucket", "s3:ListBucketVersions"]
    resources = local.bucket_arns
  }

  dynamic "statement" {
    for_each = length(local.kms_key_arns) > 0 ? [true] : []
    content {
      sid       = "Keys"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = values(local.kms_key_arns)

      condition {
        test     = "StringLike"
        variable = "kms:ViaService"
        values   = local.key_services
      }
    }
  }
}
