output "state_table" {
  description = "Name of the state table, in all regions: Resources.State."
  value       = aws_dynamodb_table.state.name
}

output "hints_table" {
  description = "Name of the hints table, in all regions: Resources.Hints."
  value       = aws_dynamodb_table.hints.name
}

output "bucket" {
  description = "Name of the bucket in the module's region: Resources.Bucket."
  value       = aws_s3_bucket.archive[local.home].id
}

output "buckets" {
  description = "Names of the buckets by region, replicas too."
  value       = { for region, b in aws_s3_bucket.archive : region => b.id }
}

output "prefix" {
  description = "What all names in the bucket begin with: Resources.Prefix."
  value       = var.prefix
}

output "region" {
  description = "The module's region where there are replicas, else empty: Options.Region there. In a replica it is that replica's region."
  value       = length(var.replicas) > 0 ? local.home : ""
}

output "participant_policies" {
  description = "For each of participants the IAM policy, in JSON, of a process that opens adapters in its namespace."
  value       = { for name, p in data.aws_iam_policy_document.participant : name => p.json }
}

output "reader_policies" {
  description = "For each of readers the IAM policy, in JSON, of who reads history, messages and hints of its namespace."
  value       = { for name, p in data.aws_iam_policy_document.reader : name => p.json }
}

output "sweeper_policy" {
  description = "The IAM policy, in JSON, of who sweeps any namespace: modules/sweeper."
  value       = data.aws_iam_policy_document.sweeper.json
}

output "operator_policy" {
  description = "The IAM policy, in JSON, of who runs sdsaws fsck with repairs over any namespace."
  value       = data.aws_iam_policy_document.operator.json
}

output "athena_database" {
  description = "Glue database with the tables archive and archive_by_channel, or null."
  value       = one(aws_glue_catalog_database.archive[*].name)
}
