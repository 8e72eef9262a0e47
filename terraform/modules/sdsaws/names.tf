# Namespaces as they stand in keys and in names of objects: dynamo.escape and
# record.NamespaceFolder in HCL. terraform/names_test.go compares them.
locals {
  ascii = " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~"
  hex   = { for i, c in split("", local.ascii) : c => format("%02x", i + 32) }

  confined = merge(
    { for name, p in var.participants : "participant ${name}" => p },
    { for name, p in var.readers : "reader ${name}" => p },
  )
  escaped = { for name, p in local.confined : name => join("", [
    for c in split("", p.namespace) :
    can(regex("[A-Za-z0-9._~-]", c)) ? c : format("%%%s", upper(local.hex[c]))
  ]) }
  in_hex = { for name, p in local.confined : name => join("", [for c in split("", p.namespace) : local.hex[c]]) }

  # A '/' of a namespace is %2F in keys and 2f in names, so neither pattern matches a
  # namespace that only begins with the same letters.
  leading_keys = { for name, p in local.confined : name => concat(
    ["${local.escaped[name]}/*"], p.below ? ["${local.escaped[name]}%2F*"] : []
  ) }
  folders = { for name, p in local.confined : name => concat(
    ["namespace=${local.in_hex[name]}/*"], p.below ? ["namespace=${local.in_hex[name]}2f*"] : []
  ) }
}
