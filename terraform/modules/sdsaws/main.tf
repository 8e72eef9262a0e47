data "aws_region" "current" {}

data "aws_caller_identity" "current" {}

locals {
  home    = data.aws_region.current.region
  account = data.aws_caller_identity.current.account_id

  # Each region has a bucket of the same content and a replica of each table.
  regions = concat([local.home], keys(var.replicas))
  bucket  = coalesce(var.bucket, "${var.name}-${local.account}-${local.home}")
  buckets = merge({ (local.home) = local.bucket }, { for region, _ in var.replicas : region => "${local.bucket}-${region}" })
  kms_key_arns = merge(
    var.kms_key_arn == null ? {} : { (local.home) = var.kms_key_arn },
    { for region, r in var.replicas : region => r.kms_key_arn if r.kms_key_arn != null },
  )
}
