output "resources" {
  description = "What sdsaws.Open takes as Resources, by region. Options.Region is the region."
  value = { for region, bucket in module.sdsaws.buckets : region => {
    State  = module.sdsaws.state_table
    Hints  = module.sdsaws.hints_table
    Bucket = bucket
  } }
}

output "participant_policy_arn" {
  description = "ARN of the policy of the tenant's participants, in both regions."
  value       = aws_iam_policy.participants.arn
}
