output "participant_function" {
  description = "Name of the participant's function."
  value       = aws_lambda_function.participant.function_name
}

output "queue_url" {
  description = "URL of the queue that takes the participant's messages, with the channel as message group."
  value       = aws_sqs_queue.messages.url
}

output "sweeper_function" {
  description = "Name of the function that sweeps."
  value       = module.sweeper.function_name
}
