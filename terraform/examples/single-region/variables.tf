variable "region" {
  description = "Region of tables, bucket and alarms."
  type        = string
  default     = "eu-central-1"
  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region is the name of a region, as eu-central-1."
  }
}

variable "participants" {
  description = "Namespaces of the participants that get a policy."
  type        = set(string)
  default     = ["alice", "bob"]
}

variable "alarm_email" {
  description = "Address that alarms are sent to, once it has confirmed. Null: none."
  type        = string
  default     = null
  validation {
    condition     = var.alarm_email == null || can(regex("^[^@ ]+@[^@ ]+$", var.alarm_email))
    error_message = "alarm_email is an address."
  }
}
