output "function_name" {
  description = "Name of the function, to invoke it by hand."
  value       = aws_lambda_function.sweeper.function_name
}

output "function_arn" {
  description = "ARN of the function."
  value       = aws_lambda_function.sweeper.arn
}

output "role_name" {
  description = "Name of the function's role, for policies of one's own."
  value       = aws_iam_role.sweeper.name
}

output "log_group" {
  description = "Name of the function's log group."
  value       = aws_cloudwatch_log_group.sweeper.name
}
