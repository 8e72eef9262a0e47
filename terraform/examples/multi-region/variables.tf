variable "region" {
  description = "Region that is home to new channels, and from which all is applied."
  type        = string
  default     = "eu-central-1"
  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region is the name of a region, as eu-central-1."
  }
}

variable "replica_region" {
  description = "Region of the replicas, for a takeover."
  type        = string
  default     = "eu-west-1"
  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.replica_region)) && var.replica_region != var.region
    error_message = "replica_region is the name of a region, another one than region."
  }
}

variable "tenant" {
  description = "The participants' namespaces begin with it and '/'."
  type        = string
  default     = "example"
}
