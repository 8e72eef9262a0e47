output "participant_function" {
  description = "Name of the participant's function."
  value       = aws_lambda_function.participant.function_name
}

output "sweeper_function" {
  description = "Name of the function that sweeps."
  value       = module.sweeper.function_name
}
