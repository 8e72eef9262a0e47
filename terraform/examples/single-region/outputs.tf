output "resources" {
  description = "What sdsaws.Open takes as Resources."
  value = {
    State  = module.sdsaws.state_table
    Hints  = module.sdsaws.hints_table
    Bucket = module.sdsaws.bucket
  }
}

output "participant_policy_arns" {
  description = "ARNs of the participants' policies, by namespace."
  value       = { for n, p in aws_iam_policy.participant : n => p.arn }
}
