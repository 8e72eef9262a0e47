variable "region" {
  description = "Region of all that is made."
  type        = string
  default     = "eu-central-1"
  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region is the name of a region, as eu-central-1."
  }
}

variable "namespace" {
  description = "Namespace of the participant."
  type        = string
  default     = "alice"
  validation {
    condition     = can(regex("^[ -~]{1,100}$", var.namespace)) && !can(regex("[,*?]", var.namespace))
    error_message = "namespace has 1 to 100 printable ASCII characters, none of them ',', '*' or '?'."
  }
}

variable "participant_package" {
  description = "Path of the zip that holds examples/lambda, as make lambda builds it for arm64."
  type        = string
  default     = "../../../dist/participant.zip"
  validation {
    condition     = endswith(var.participant_package, ".zip")
    error_message = "participant_package is the path of a .zip file."
  }
}

variable "sweeper_package" {
  description = "Path of the zip that holds cmd/sweeper, as make lambda builds it for arm64."
  type        = string
  default     = "../../../dist/sweeper.zip"
  validation {
    condition     = endswith(var.sweeper_package, ".zip")
    error_message = "sweeper_package is the path of a .zip file."
  }
}
